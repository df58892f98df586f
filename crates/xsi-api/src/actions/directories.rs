//! Directories (xsi.md 3.5).

use super::{get_only, profile};
use crate::Reply;
use crate::api::{Call, Outcome};
use crate::error::ApiError;
use crate::paging::{Page, directory_query};
use openadp_appserver::{DirectoryPage, DirectoryScope, UserId};
use openadp_xsi_schema::{
    DirectoryDetails, Document, EnterpriseDirectory, EnterpriseList, GroupDirectory, GroupList,
    ProfileDetails,
};

/// Sizes fit any platform's counts.
pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The page that a request asks for, within the settings.
pub(super) fn page(call: &Call<'_>) -> Page {
    let settings = call.api.paging.load();
    Page::of(&call.query, settings.default_page_size, settings.available_user_max_limit)
}

async fn read(
    call: &Call<'_>,
    user: &UserId,
    scope: DirectoryScope,
) -> Result<(Page, DirectoryPage, Vec<DirectoryDetails>), ApiError> {
    get_only(call)?;
    let page = page(call);
    let mut found =
        call.api.ports.directory.directory(user, scope, &directory_query(&call.query, page)).await?;
    let entries = std::mem::take(&mut found.entries).iter().map(details).collect();
    Ok((page, found, entries))
}

fn details(entry: &openadp_appserver::DirectoryEntry) -> DirectoryDetails {
    let ProfileDetails {
        user_id,
        external_id,
        first_name,
        last_name,
        hiragana_last_name,
        hiragana_first_name,
        name_dialing_name,
        group_id,
        service_provider,
        number,
        extension,
    } = profile::details(entry);
    DirectoryDetails {
        user_id,
        external_id,
        first_name,
        last_name,
        hiragana_last_name,
        hiragana_first_name,
        name_dialing_name,
        group_id,
        service_provider,
        number,
        extension,
        additional_details: profile::additional(entry),
    }
}

/// Everybody of the enterprise or service provider.
pub(super) async fn enterprise(call: &Call<'_>, user: &UserId) -> Outcome {
    let (page, found, entries) = read(call, user, DirectoryScope::Enterprise).await?;
    let document = EnterpriseDirectory {
        start_index: count(page.start),
        number_of_records: count(entries.len()),
        total_available_records: count(found.total),
        directory: EnterpriseList { entries },
    };
    Ok(Reply::document(200, document.to_element()))
}

/// Everybody of the group.
pub(super) async fn group(call: &Call<'_>, user: &UserId) -> Outcome {
    let (page, found, entries) = read(call, user, DirectoryScope::Group).await?;
    let document = GroupDirectory {
        start_index: count(page.start),
        number_of_records: count(entries.len()),
        total_available_records: count(found.total),
        directory: GroupList { entries },
    };
    Ok(Reply::document(200, document.to_element()))
}
