//! The calls that only Milvus knows: each is one request, and says what it is about.

use std::{future::Future, pin::Pin, time::Duration};

use arshai_core::{Effect, ErrorKind, Result, config::Secret, vector::VectorStore as _};
use bytes::Bytes;
use prost::Message as _;

use super::canned::{Answer, Canned, spec, standard};
use crate::{
    FieldKind, Grant, MilvusClient, MilvusStore, SchemaField,
    proto::{
        common::Status,
        milvus::{
            CreateCollectionRequest, GetCollectionStatisticsResponse, GrantEntity, GrantorEntity,
            ListAliasesResponse, ListCredUsersResponse, ListDatabasesResponse, NamedEntity, RoleResult,
            SelectGrantResponse, SelectRoleResponse, SelectUserResponse, ShowPartitionsResponse,
            UpdateCredentialRequest, UserResult,
        },
        pair,
        schema::CollectionSchema,
    },
};

fn ok() -> Option<Status> {
    Some(Status::default())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn named(name: &str) -> Option<NamedEntity> {
    Some(NamedEntity { name: name.to_owned() })
}

fn answer(method: &str) -> Answer {
    match method {
        "ShowPartitions" => {
            Answer::of(&ShowPartitionsResponse { status: ok(), partition_names: names(&["p", "q"]) })
        }
        "ListAliases" => Answer::of(&ListAliasesResponse { status: ok(), aliases: names(&["a"]) }),
        "ListDatabases" => Answer::of(&ListDatabasesResponse { status: ok(), db_names: names(&["d"]) }),
        "GetCollectionStatistics" => Answer::of(&GetCollectionStatisticsResponse {
            status: ok(),
            stats: vec![pair("row_count", "17")],
        }),
        "ListCredUsers" => Answer::of(&ListCredUsersResponse { status: ok(), usernames: names(&["root"]) }),
        "SelectRole" => Answer::of(&SelectRoleResponse {
            status: ok(),
            results: vec![RoleResult { role: named("admin") }],
        }),
        "SelectUser" => Answer::of(&SelectUserResponse {
            status: ok(),
            results: vec![UserResult { roles: named("admin").into_iter().collect() }],
        }),
        "SelectGrant" => Answer::of(&SelectGrantResponse {
            status: ok(),
            entities: vec![GrantEntity {
                role: named("r"),
                object: named("Collection"),
                object_name: "c".into(),
                grantor: Some(GrantorEntity { user: None, privilege: named("Search") }),
                ..GrantEntity::default()
            }],
        }),
        "GetVersion" | "DescribeCollection" | "DescribeIndex" | "GetLoadState" => standard(method),
        // A reply whose first field is the status and a status itself are both read as success from nothing but zeros.
        "Flush" => Answer::of(&crate::proto::milvus::FlushResponse { status: ok() }),
        _ => Answer::of(&Status::default()),
    }
}

#[tokio::test]
async fn each_call_is_one_request_that_names_what_it_is_about() {
    let server = Canned::start(|method, _, _| Some(answer(method))).await;
    let client = server.store().client();
    let (secret, other) = (Secret::new("old"), Secret::new("new"));
    client.create_partition("coll", "part").await.unwrap();
    client.drop_partition("coll", "part").await.unwrap();
    client.load_partitions("coll", &["part"]).await.unwrap();
    client.release_partitions("coll", &["part"]).await.unwrap();
    client.create_alias("coll", "name").await.unwrap();
    client.alter_alias("coll", "name").await.unwrap();
    client.drop_alias("name").await.unwrap();
    client.create_database("base").await.unwrap();
    client.drop_database("base").await.unwrap();
    client.release("coll").await.unwrap();
    client.drop_index("coll", "field").await.unwrap();
    client.rename_collection("coll", "name").await.unwrap();
    client.flush(&["coll"]).await.unwrap();
    client.create_user("person", &secret).await.unwrap();
    client.change_password("person", &secret, &other).await.unwrap();
    client.drop_user("person").await.unwrap();
    client.create_role("role").await.unwrap();
    client.drop_role("role").await.unwrap();
    client.add_role("person", "role").await.unwrap();
    client.remove_role("person", "role").await.unwrap();
    let grant = Grant::on_collection("coll", "Search");
    client.grant("role", &grant).await.unwrap();
    client.revoke("role", &grant).await.unwrap();
    for (method, words) in [
        ("CreatePartition", ["coll", "part"]),
        ("DropPartition", ["coll", "part"]),
        ("LoadPartitions", ["coll", "part"]),
        ("ReleasePartitions", ["coll", "part"]),
        ("CreateAlias", ["coll", "name"]),
        ("AlterAlias", ["coll", "name"]),
        ("DropAlias", ["name", ""]),
        ("CreateDatabase", ["base", ""]),
        ("DropDatabase", ["base", ""]),
        ("ReleaseCollection", ["coll", ""]),
        ("DropIndex", ["coll", "field"]),
        ("RenameCollection", ["coll", "name"]),
        ("Flush", ["coll", ""]),
        // In base64.
        ("CreateCredential", ["person", "b2xk"]),
        ("UpdateCredential", ["b2xk", "bmV3"]),
        ("DeleteCredential", ["person", ""]),
        ("CreateRole", ["role", ""]),
        ("DropRole", ["role", ""]),
    ] {
        let sent = server.bodies(method);
        let [body] = sent.as_slice() else { panic!("{method} was sent {} times", sent.len()) };
        let holds = |word: &str| body.windows(word.len().max(1)).any(|part| part == word.as_bytes());
        assert!(words.iter().all(|word| word.is_empty() || holds(word)), "{method}: {body:?}");
    }
    let passwords = &server.requests::<UpdateCredentialRequest>("UpdateCredential")[0];
    assert_eq!((passwords.old_password.as_str(), passwords.new_password.as_str()), ("b2xk", "bmV3"));
    // The two ways of each call differ in nothing but their kind, 0 being left out.
    for method in ["OperateUserRole", "OperatePrivilege"] {
        let [first, second]: [Bytes; 2] = server.bodies(method).try_into().unwrap();
        assert!(second.starts_with(&first) && second.len() == first.len() + 2 && second.ends_with(&[1]));
    }
}

#[tokio::test]
async fn what_is_asked_for_is_read_from_the_reply() {
    let server = Canned::start(|method, _, _| Some(answer(method))).await;
    let client = server.store().client();
    assert_eq!(client.partitions("c").await.unwrap(), ["p", "q"]);
    assert_eq!(client.aliases("c").await.unwrap(), ["a"]);
    assert_eq!(client.databases().await.unwrap(), ["d"]);
    assert_eq!(client.stored_rows("c").await.unwrap(), 17);
    assert_eq!(client.users().await.unwrap(), ["root"]);
    assert_eq!(client.roles().await.unwrap(), ["admin"]);
    assert_eq!(client.roles_of("root").await.unwrap(), ["admin"]);
    assert_eq!(client.grants("r").await.unwrap(), [Grant::on_collection("c", "Search")]);
    client.load("c").await.unwrap();
}

#[tokio::test]
async fn a_schema_of_one_s_own_is_sent_as_it_was_given() {
    let server = Canned::start(|method, _, _| Some(answer(method))).await;
    let fields = [
        SchemaField::new("id", FieldKind::Int64).primary_key(true),
        SchemaField::new("title", FieldKind::VarChar(99)),
        SchemaField::new("v", FieldKind::FloatVector(3)),
    ];
    server.store().client().create_collection("own", &fields).await.unwrap();
    let request = &server.requests::<CreateCollectionRequest>("CreateCollection")[0];
    let schema = CollectionSchema::decode(request.schema.clone()).unwrap();
    let sent: Vec<_> =
        schema.fields.iter().map(|field| (field.name.as_str(), field.is_primary_key)).collect();
    assert_eq!(sent, [("id", true), ("title", false), ("v", false)]);
    assert_eq!(schema.fields[1].type_params, [pair("max_length", "99")]);
    assert_eq!(schema.fields[2].type_params, [pair("dim", "3")]);
}

#[tokio::test]
async fn a_collection_whose_removal_lost_its_reply_was_removed() {
    let server = Canned::start(|method, _, before| match (method, before) {
        ("DropCollection", 0) => Some(Answer::HangUp),
        ("DropCollection", _) => Some(Answer::of(&Status { code: 100, ..Status::default() })),
        _ => None,
    })
    .await;
    let store = server.store();
    store.open(&spec()).await.unwrap();
    assert!(store.drop_collection("c").await.unwrap());
    let none =
        Canned::start(|method, _, _| (method == "DescribeCollection").then(|| Answer::code(100))).await;
    assert!(!none.store().drop_collection("c").await.unwrap());
    assert_eq!(none.store().stats("c").await.unwrap_err().kind(), ErrorKind::NotFound);
}

type Call = Box<dyn Fn(MilvusClient) -> Pin<Box<dyn Future<Output = Result<()>>>>>;

/// A call of the client, and the method it calls.
fn call<Running: Future<Output = Result<()>> + 'static>(
    method: &'static str,
    call: impl Fn(MilvusClient) -> Running + 'static,
) -> (&'static str, Call) {
    (method, Box::new(move |client| Box::pin(call(client))))
}

fn removals() -> [(&'static str, Call); 4] {
    [
        call("DropDatabase", |client| async move { client.drop_database("base").await }),
        call("DropAlias", |client| async move { client.drop_alias("name").await }),
        call("DropPartition", |client| async move { client.drop_partition("coll", "part").await }),
        call("DropIndex", |client| async move { client.drop_index("coll", "field").await }),
    ]
}

/// How servers say that something is not there: by a code of its own, or as Milvus Lite in Python does of databases.
fn not_there(method: &str) -> Vec<Status> {
    let status = |code, error_code, reason: &str| Status {
        code,
        error_code,
        reason: reason.to_owned(),
        ..Status::default()
    };
    match method {
        "DropDatabase" => vec![status(800, 1, ""), status(6, 6, "database 'base' does not exist")],
        "DropAlias" => vec![status(1600, 1, ""), status(100, 4, "")],
        "DropPartition" => vec![status(200, 1, ""), status(200, 200, "")],
        _ => vec![status(700, 25, ""), status(700, 11, "")],
    }
}

#[tokio::test]
async fn what_was_taken_away_when_the_reply_was_lost_was_taken_away() {
    for (method, call) in removals() {
        for gone in not_there(method) {
            let said = gone.clone();
            let server = Canned::start(move |asked, _, before| {
                (asked == method).then(|| if before == 0 { Answer::HangUp } else { Answer::of(&said) })
            })
            .await;
            let done = call(server.store().client()).await;
            assert!(done.is_ok() && server.calls(method) == 2, "{method} {gone:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn what_was_never_there_is_not_found_whatever_kept_the_call_out_before() {
    for (method, call) in removals() {
        for gone in not_there(method) {
            let said = gone.clone();
            let server = Canned::start(move |asked, _, before| {
                let limited = Answer::of(&Status { code: 8, error_code: 49, ..Status::default() });
                (asked == method).then(|| if before == 0 { limited } else { Answer::of(&said) })
            })
            .await;
            let error = call(server.store().client()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{method} {gone:?}: {error}");
        }
    }
}

#[tokio::test]
async fn what_was_made_when_the_reply_was_lost_is_not_made_again() {
    let calls = [
        call("CreateDatabase", |client| async move { client.create_database("base").await }),
        call("CreateAlias", |client| async move { client.create_alias("coll", "name").await }),
        call("CreatePartition", |client| async move { client.create_partition("coll", "part").await }),
        call("CreateCollection", |client| async move { client.create_collection("coll", &[]).await }),
        call("CreateIndex", |client| async move { client.create_index("coll", "field", &[]).await }),
        call("RenameCollection", |client| async move { client.rename_collection("coll", "name").await }),
        call("CreateCredential", |client| async move {
            client.create_user("person", &Secret::new("hunter2")).await
        }),
    ];
    for (method, call) in calls {
        for lost in [Answer::HangUp, Answer::Silence] {
            let exists =
                Status { code: 65535, error_code: 1, reason: "already exist".into(), ..Status::default() };
            let answer = lost.clone();
            let server = Canned::start(move |asked, _, before| {
                (asked == method).then(|| if before == 0 { answer.clone() } else { Answer::of(&exists) })
            })
            .await;
            let mut config = server.config();
            config.attempt_timeout = Duration::from_millis(200);
            let error = call(MilvusStore::new(config).unwrap().client()).await.unwrap_err();
            let told = (error.kind(), error.effect(), error.is_retryable(), server.calls(method));
            let expected = (ErrorKind::OutcomeUnknown, Effect::Unknown, false, 1);
            assert_eq!(told, expected, "{method} {lost:?}: {error}");
        }
        // What kept it out for sure is waited for.
        let server = Canned::start(move |asked, _, before| {
            let limited = Answer::of(&Status { code: 8, error_code: 49, ..Status::default() });
            (asked == method).then(|| if before == 0 { limited } else { Answer::of(&Status::default()) })
        })
        .await;
        call(server.store().client()).await.unwrap();
        assert_eq!(server.calls(method), 2, "{method}");
    }
}

#[tokio::test]
async fn what_is_set_is_set_again_when_the_reply_was_lost() {
    let grant = || Grant::on_collection("coll", "Search");
    let calls = [
        call("AlterAlias", |client| async move { client.alter_alias("coll", "name").await }),
        call("LoadPartitions", |client| async move { client.load_partitions("coll", &["part"]).await }),
        call("ReleasePartitions", |client| async move { client.release_partitions("coll", &["part"]).await }),
        call("ReleaseCollection", |client| async move { client.release("coll").await }),
        call("OperateUserRole", |client| async move { client.add_role("person", "role").await }),
        call("OperateUserRole", |client| async move { client.remove_role("person", "role").await }),
        call("OperatePrivilege", move |client| async move { client.grant("role", &grant()).await }),
        call("OperatePrivilege", move |client| async move { client.revoke("role", &grant()).await }),
    ];
    for (method, call) in calls {
        let server = Canned::start(move |asked, _, before| {
            (asked == method)
                .then(|| if before == 0 { Answer::HangUp } else { Answer::of(&Status::default()) })
        })
        .await;
        call(server.store().client()).await.unwrap();
        assert_eq!(server.calls(method), 2, "{method}");
    }
}
