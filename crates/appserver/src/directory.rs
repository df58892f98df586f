//! Profiles and directories.

use crate::{PortResult, UserId};
use async_trait::async_trait;

/// What a subscriber's profile holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// User id.
    pub user_id: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Group id.
    pub group_id: String,
    /// Service provider or enterprise id.
    pub service_provider: String,
    /// Whether the service provider is an enterprise.
    pub is_enterprise: bool,
    /// E.164 number with `+`, no dashes: `+15550100123`.
    pub number: Option<String>,
    /// Extension.
    pub extension: Option<String>,
    /// Country code of the number, without `+`.
    pub country_code: String,
    /// Mobile number.
    pub mobile: Option<String>,
    /// E-mail address.
    pub email_address: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Time zone name.
    pub time_zone: Option<String>,
    /// Address for instant messages and presence, where the subscriber has one.
    pub imp_id: Option<String>,
    /// Days until the portal password expires, `None` for never.
    pub password_expires_days: Option<i64>,
}

/// One entry of a directory: a profile, as others see it.
pub type DirectoryEntry = Profile;

/// Which directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryScope {
    /// Everybody of the viewer's enterprise or service provider.
    Enterprise,
    /// Everybody of the viewer's group.
    Group,
}

/// One search term on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTerm {
    /// `firstName`, `lastName`, `name`, `userId`, `groupId`, `number`, `extension`, `mobileNo`, `department`,
    /// `emailAddress`, `title`, `impId`. Phone lists have `name` and `number`.
    pub field: String,
    /// Alternatives; `*` at either end is a wildcard.
    pub patterns: Vec<String>,
    /// Whether case is ignored (`/i` on the wire).
    pub ignore_case: bool,
}

/// What part of a directory is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// 1-based index of the first entry.
    pub start: usize,
    /// Most entries in the page.
    pub results: usize,
    /// Terms.
    pub terms: Vec<SearchTerm>,
    /// Whether one matching term is enough.
    pub any_term: bool,
    /// What entries are ordered by without regard to case, one of the fields of [`SearchTerm`]; by name as it is written where
    /// none is given.
    pub sort: Option<String>,
}

impl DirectoryQuery {
    /// A page of everything.
    pub fn page(start: usize, results: usize) -> Self {
        Self { start, results, terms: Vec::new(), any_term: false, sort: None }
    }
}

/// A page of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryPage {
    /// Entries, ordered by last name, first name, user id unless another order was asked for.
    pub entries: Vec<DirectoryEntry>,
    /// How many match in all.
    pub total: usize,
}

/// Which list of names and numbers that belong to nobody of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneList {
    /// Of the viewer's enterprise or service provider.
    Enterprise,
    /// Of the viewer's group.
    Group,
    /// The viewer's own.
    Personal,
}

/// One entry of a phone list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneListEntry {
    /// Name.
    pub name: String,
    /// Number, as it was entered.
    pub number: String,
}

/// A page of a phone list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhoneListPage {
    /// Entries, ordered by name.
    pub entries: Vec<PhoneListEntry>,
    /// How many match in all.
    pub total: usize,
}

/// Profiles and directories.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A subscriber's profile.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn profile(&self, user: &UserId) -> PortResult<Profile>;

    /// A page of a directory as this subscriber sees it.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber, `Invalid` for an order that there is none of or too many patterns.
    async fn directory(
        &self,
        viewer: &UserId,
        scope: DirectoryScope,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage>;

    /// A page of a phone list as this subscriber sees it.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber, `Invalid` for an order that such a list does not have.
    async fn phone_list(
        &self,
        viewer: &UserId,
        list: PhoneList,
        query: &DirectoryQuery,
    ) -> PortResult<PhoneListPage>;

    /// Names of the directories that administrators made for the subscriber's group, ordered.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber.
    async fn custom_directories(&self, viewer: &UserId) -> PortResult<Vec<String>>;

    /// A page of one of these directories, whose name is compared to the letter.
    ///
    /// # Errors
    /// `NotFound` for an unknown subscriber or directory, `Invalid` as of [`directory`](Self::directory).
    async fn custom_directory(
        &self,
        viewer: &UserId,
        name: &str,
        query: &DirectoryQuery,
    ) -> PortResult<DirectoryPage>;

    /// Whether a service provider, and optionally a group of it, exists.
    ///
    /// # Errors
    /// Only faults of the adapter.
    async fn organisation_exists(&self, provider: &str, group: Option<&str>) -> PortResult<bool>;
}
