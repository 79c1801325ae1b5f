//! Users, roles and what they may do.

use arshai_core::{Error, ErrorKind, Result, config::Secret};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    client::MilvusClient,
    connection::Safety,
    proto::{
        Reply,
        common::Status,
        milvus::{
            CreateCredentialRequest, CreateRoleRequest, DeleteCredentialRequest, DropRoleRequest,
            GrantEntity, GrantorEntity, ListCredUsersRequest, ListCredUsersResponse, NamedEntity,
            OperatePrivilegeRequest, OperatePrivilegeType, OperateUserRoleRequest, OperateUserRoleType,
            SelectGrantRequest, SelectGrantResponse, SelectRoleRequest, SelectRoleResponse,
            SelectUserRequest, SelectUserResponse, UpdateCredentialRequest,
        },
    },
};

/// What a role may do with an object.
///
/// Objects and privileges are named as in Milvus' own documentation: `Collection` with `Search`, `Query`, `Insert`,
/// `Delete`, …; `Global` with `CreateCollection`, …; `User` with `UpdateUser`, ….
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The kind of object: `Collection`, `Global` or `User`.
    pub object: String,
    /// Which one; `*` is all of them.
    pub name: String,
    /// What may be done with it; `*` is everything.
    pub privilege: String,
}

impl Grant {
    /// A privilege on an object.
    pub fn new(object: impl Into<String>, name: impl Into<String>, privilege: impl Into<String>) -> Self {
        Self { object: object.into(), name: name.into(), privilege: privilege.into() }
    }

    /// The same on a collection.
    pub fn on_collection(collection: impl Into<String>, privilege: impl Into<String>) -> Self {
        Self::new("Collection", collection, privilege)
    }

    fn operation(&self, role: &str, operation: OperatePrivilegeType) -> OperatePrivilegeRequest {
        let entity = GrantEntity {
            role: Some(named(role)),
            object: Some(named(&self.object)),
            object_name: self.name.clone(),
            grantor: Some(GrantorEntity { user: None, privilege: Some(named(&self.privilege)) }),
            db_name: String::new(),
        };
        OperatePrivilegeRequest { entity: Some(entity), r#type: operation.into() }
    }
}

/// # Users and roles
///
/// A server answers these calls whether or not it asks for passwords; Milvus wants to know who grants, so that
/// [`MilvusClient::grant`] and [`MilvusClient::revoke`] need credentials in the store's settings.
impl MilvusClient {
    /// Makes a user.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection; [`ErrorKind::Config`] when the password would cross the network
    /// unencrypted and the settings do not allow it.
    pub async fn create_user(&self, user: &str, password: &Secret) -> Result<()> {
        let operation = "milvus.create_user";
        let request = CreateCredentialRequest {
            username: user.to_owned(),
            password: self.hidden(password, operation)?,
        };
        self.done(operation, "CreateCredential", &request, Safety::Once).await
    }

    /// Gives a user another password. This client goes on with the credentials it has.
    ///
    /// # Errors
    ///
    /// As [`MilvusClient::create_user`].
    pub async fn change_password(&self, user: &str, old: &Secret, new: &Secret) -> Result<()> {
        let operation = "milvus.change_password";
        let request = UpdateCredentialRequest {
            username: user.to_owned(),
            old_password: self.hidden(old, operation)?,
            new_password: self.hidden(new, operation)?,
        };
        self.done(operation, "UpdateCredential", &request, Safety::Once).await
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn drop_user(&self, user: &str) -> Result<()> {
        let request = DeleteCredentialRequest { username: user.to_owned() };
        self.done("milvus.drop_user", "DeleteCredential", &request, Safety::Once).await
    }

    /// The names of all users.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn users(&self) -> Result<Vec<String>> {
        let reply: ListCredUsersResponse =
            self.read("milvus.users", "ListCredUsers", &ListCredUsersRequest {}).await?;
        Ok(reply.usernames)
    }

    /// Makes a role, which may do nothing yet.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn create_role(&self, role: &str) -> Result<()> {
        let request = CreateRoleRequest { entity: Some(named(role)) };
        self.done("milvus.create_role", "CreateRole", &request, Safety::Once).await
    }

    /// Removes a role, which must have been granted nothing.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn drop_role(&self, role: &str) -> Result<()> {
        let request = DropRoleRequest { role_name: role.to_owned(), force_drop: false };
        self.done("milvus.drop_role", "DropRole", &request, Safety::Once).await
    }

    /// The names of all roles.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn roles(&self) -> Result<Vec<String>> {
        let request = SelectRoleRequest { role: None, include_user_info: false };
        let reply: SelectRoleResponse = self.read("milvus.roles", "SelectRole", &request).await?;
        Ok(reply.results.into_iter().filter_map(|result| result.role).map(|role| role.name).collect())
    }

    /// The names of a user's roles.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn roles_of(&self, user: &str) -> Result<Vec<String>> {
        let request = SelectUserRequest { user: Some(named(user)), include_role_info: true };
        let reply: SelectUserResponse = self.read("milvus.roles_of", "SelectUser", &request).await?;
        Ok(reply.results.into_iter().flat_map(|result| result.roles).map(|role| role.name).collect())
    }

    /// Gives a user a role.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn add_role(&self, user: &str, role: &str) -> Result<()> {
        let request = membership(user, role, OperateUserRoleType::AddUserToRole);
        self.done("milvus.add_role", "OperateUserRole", &request, Safety::Idempotent).await
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn remove_role(&self, user: &str, role: &str) -> Result<()> {
        let request = membership(user, role, OperateUserRoleType::RemoveUserFromRole);
        self.done("milvus.remove_role", "OperateUserRole", &request, Safety::Idempotent).await
    }

    /// Lets a role do something.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn grant(&self, role: &str, grant: &Grant) -> Result<()> {
        let request = grant.operation(role, OperatePrivilegeType::Grant);
        self.done("milvus.grant", "OperatePrivilege", &request, Safety::Idempotent).await
    }

    /// Lets a role do something no longer.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn revoke(&self, role: &str, grant: &Grant) -> Result<()> {
        let request = grant.operation(role, OperatePrivilegeType::Revoke);
        self.done("milvus.revoke", "OperatePrivilege", &request, Safety::Idempotent).await
    }

    /// What a role may do.
    ///
    /// # Errors
    ///
    /// Those of the server and the connection.
    pub async fn grants(&self, role: &str) -> Result<Vec<Grant>> {
        let entity = GrantEntity { role: Some(named(role)), ..GrantEntity::default() };
        let request = SelectGrantRequest { entity: Some(entity) };
        let reply: SelectGrantResponse = self.read("milvus.grants", "SelectGrant", &request).await?;
        let grant = |entity: GrantEntity| {
            let privilege = entity.grantor.and_then(|grantor| grantor.privilege).unwrap_or_default().name;
            Grant::new(entity.object.unwrap_or_default().name, entity.object_name, privilege)
        };
        Ok(reply.entities.into_iter().map(grant).collect())
    }

    /// A password as the protocol has it, which hides nothing.
    fn hidden(&self, password: &Secret, operation: &'static str) -> Result<String> {
        if self.config().exposes_secrets() && !self.config().allow_plaintext_credentials {
            return Err(Error::new(
                ErrorKind::Config,
                "a password would cross the network unencrypted: use milvuss:// or https://, or set \
                 allow_plaintext_credentials",
            )
            .with_context("host", &self.config().host)
            .with_operation(operation));
        }
        Ok(STANDARD.encode(password.expose()))
    }

    async fn done(
        &self,
        operation: &'static str,
        method: &'static str,
        request: &impl prost::Message,
        safety: Safety,
    ) -> Result<()> {
        let _status: Status = self.call(operation, "", method, request, safety).await?;
        Ok(())
    }

    async fn read<R: Reply>(
        &self,
        operation: &'static str,
        method: &'static str,
        request: &impl prost::Message,
    ) -> Result<R> {
        self.call(operation, "", method, request, Safety::Read).await
    }
}

fn named(name: &str) -> NamedEntity {
    NamedEntity { name: name.to_owned() }
}

fn membership(user: &str, role: &str, operation: OperateUserRoleType) -> OperateUserRoleRequest {
    OperateUserRoleRequest { username: user.to_owned(), role_name: role.to_owned(), r#type: operation.into() }
}
