//! The messages about users and roles.

use prost::Message;

use super::{Reply, common::Status};

/// Of every entity that is a name and nothing else: a user, a role, a kind of object, a privilege.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

impl Named {
    pub(crate) fn of(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct CreateCredentialRequest {
    #[prost(string, tag = "2")]
    pub(crate) username: String,
    /// In base64.
    #[prost(string, tag = "3")]
    pub(crate) password: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct UpdateCredentialRequest {
    #[prost(string, tag = "2")]
    pub(crate) username: String,
    #[prost(string, tag = "3")]
    pub(crate) old_password: String,
    #[prost(string, tag = "4")]
    pub(crate) new_password: String,
}

/// Of `DeleteCredential`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct UserRequest {
    #[prost(string, tag = "2")]
    pub(crate) username: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListUsersResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) usernames: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct CreateRoleRequest {
    #[prost(message, optional, tag = "2")]
    pub(crate) entity: Option<Named>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct DropRoleRequest {
    #[prost(string, tag = "2")]
    pub(crate) role_name: String,
    #[prost(bool, tag = "3")]
    pub(crate) force_drop: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct OperateUserRoleRequest {
    #[prost(string, tag = "2")]
    pub(crate) username: String,
    #[prost(string, tag = "3")]
    pub(crate) role_name: String,
    #[prost(int32, tag = "4")]
    pub(crate) kind: i32,
}

impl OperateUserRoleRequest {
    pub(crate) const ADD: i32 = 0;
    pub(crate) const REMOVE: i32 = 1;

    pub(crate) fn new(user: &str, role: &str, kind: i32) -> Self {
        Self { username: user.to_owned(), role_name: role.to_owned(), kind }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SelectRoleRequest {
    #[prost(message, optional, tag = "2")]
    pub(crate) role: Option<Named>,
    #[prost(bool, tag = "3")]
    pub(crate) include_user_info: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RoleResult {
    #[prost(message, optional, tag = "1")]
    pub(crate) role: Option<Named>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RolesResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) results: Vec<RoleResult>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SelectUserRequest {
    #[prost(message, optional, tag = "2")]
    pub(crate) user: Option<Named>,
    #[prost(bool, tag = "3")]
    pub(crate) include_role_info: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct UserResult {
    #[prost(message, repeated, tag = "2")]
    pub(crate) roles: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UsersResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) results: Vec<UserResult>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GrantorEntity {
    #[prost(message, optional, tag = "1")]
    pub(crate) user: Option<Named>,
    #[prost(message, optional, tag = "2")]
    pub(crate) privilege: Option<Named>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GrantEntity {
    #[prost(message, optional, tag = "1")]
    pub(crate) role: Option<Named>,
    #[prost(message, optional, tag = "2")]
    pub(crate) object: Option<Named>,
    #[prost(string, tag = "3")]
    pub(crate) object_name: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) grantor: Option<GrantorEntity>,
    #[prost(string, tag = "5")]
    pub(crate) db_name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct OperatePrivilegeRequest {
    #[prost(message, optional, tag = "2")]
    pub(crate) entity: Option<GrantEntity>,
    #[prost(int32, tag = "3")]
    pub(crate) kind: i32,
}

impl OperatePrivilegeRequest {
    pub(crate) const GRANT: i32 = 0;
    pub(crate) const REVOKE: i32 = 1;
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SelectGrantRequest {
    #[prost(message, optional, tag = "2")]
    pub(crate) entity: Option<GrantEntity>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GrantsResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entities: Vec<GrantEntity>,
}

macro_rules! replies {
    ($($reply:ident)*) => {
        $(impl Reply for $reply {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}

replies! { ListUsersResponse RolesResponse UsersResponse GrantsResponse }
