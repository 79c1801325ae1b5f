//! Users, roles and grants, where a server has them.

use arshai_core::{ErrorKind, config::Secret};
use arshai_milvus::{Credentials, Grant, MilvusStore};

use crate::{Scratch, config, engine, store};

#[tokio::test]
async fn users_roles_and_grants_are_made_told_and_taken_away_or_unsupported() {
    if engine().0 != "milvus" {
        let client = store().client();
        for error in [
            client.create_user("somebody", &Secret::new("hunter22")).await.unwrap_err(),
            client.create_role("reader").await.unwrap_err(),
            client.users().await.unwrap_err(),
            client.grants("reader").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(!format!("{error:?}").contains("hunter22"));
        }
        return;
    }
    // Whoever grants has a name, even on a server that does not ask for passwords.
    let mut config = config();
    config.credentials = Credentials::Token(Secret::new("root:Milvus"));
    let store = MilvusStore::new(config).unwrap();
    let client = store.client();
    let (user, role) = (Scratch::name("u"), Scratch::name("role"));
    let (old, new) = (Secret::new("hunter22"), Secret::new("hunter33"));
    client.create_user(&user, &old).await.unwrap();
    assert!(client.users().await.unwrap().contains(&user));
    let twice = client.create_user(&user, &old).await.unwrap_err();
    assert!(!format!("{twice} {twice:?}").contains("hunter22"), "{twice:?}");
    client.change_password(&user, &old, &new).await.unwrap();
    client.change_password(&user, &old, &new).await.unwrap_err();

    client.create_role(&role).await.unwrap();
    assert!(client.roles().await.unwrap().contains(&role));
    client.add_role(&user, &role).await.unwrap();
    assert_eq!(client.roles_of(&user).await.unwrap(), std::slice::from_ref(&role));
    let grants = [Grant::on_collection("docs", "Search"), Grant::new("Global", "*", "CreateCollection")];
    for grant in &grants {
        client.grant(&role, grant).await.unwrap();
        // Nothing changes the second time.
        client.grant(&role, grant).await.unwrap();
    }
    let mut told = client.grants(&role).await.unwrap();
    told.sort_by(|a, b| a.object.cmp(&b.object));
    assert_eq!(told, grants);
    for grant in &grants {
        client.revoke(&role, grant).await.unwrap();
    }
    assert_eq!(client.grants(&role).await.unwrap(), []);
    client.remove_role(&user, &role).await.unwrap();
    assert_eq!(client.roles_of(&user).await.unwrap(), Vec::<String>::new());
    client.drop_role(&role).await.unwrap();
    client.drop_user(&user).await.unwrap();
    assert!(!client.users().await.unwrap().contains(&user) && !client.roles().await.unwrap().contains(&role));
}
