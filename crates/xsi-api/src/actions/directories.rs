//! Directories (xsi.md 3.5).

use super::{get_only, profile};
use crate::Reply;
use crate::api::{Call, Outcome};
use crate::error::ApiError;
use crate::paging::{Page, directory_query};
use openadp_appserver::{DirectoryPage, DirectoryScope, PhoneList, UserId};
use openadp_xsi_schema::{
    Contact, ContactList, CustomContact, CustomContactDirectory, CustomContactReference, DirectoryDetails,
    Document, EnterpriseCommon, EnterpriseDirectory, EnterpriseList, GroupCommon, GroupDirectory, GroupList,
    PersonalDirectory, PhoneEntry, ProfileDetails,
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

/// A page of a phone list: the enterprise's, the group's or the user's own.
pub(super) async fn phone_list(call: &Call<'_>, user: &UserId, list: PhoneList) -> Outcome {
    get_only(call)?;
    let page = page(call);
    let query = directory_query(&call.query, page);
    let found = call.api.ports.directory.phone_list(user, list, &query).await?;
    let entries: Vec<PhoneEntry> = found
        .entries
        .into_iter()
        .map(|entry| PhoneEntry { name: entry.name, number: entry.number })
        .collect();
    let start_index = count(page.start);
    let number_of_records = count(entries.len());
    let total_available_records = count(found.total);
    let document = match list {
        PhoneList::Enterprise => {
            EnterpriseCommon { start_index, number_of_records, total_available_records, entries }.to_element()
        }
        PhoneList::Group => {
            GroupCommon { start_index, number_of_records, total_available_records, entries }.to_element()
        }
        PhoneList::Personal => {
            PersonalDirectory { start_index, number_of_records, total_available_records, entries }
                .to_element()
        }
    };
    Ok(Reply::document(200, document))
}

/// The directories that administrators put together for the group.
pub(super) async fn custom(call: &Call<'_>, user: &UserId) -> Outcome {
    get_only(call)?;
    let names = call.api.ports.directory.custom_directories(user).await?;
    let directories = names.into_iter().map(|name| CustomContactReference { name }).collect();
    Ok(Reply::document(200, CustomContact { directories }.to_element()))
}

/// A page of one of them.
pub(super) async fn custom_one(call: &Call<'_>, user: &UserId, name: &str) -> Outcome {
    get_only(call)?;
    let page = page(call);
    let query = directory_query(&call.query, page);
    let found = call.api.ports.directory.custom_directory(user, name, &query).await?;
    let entries: Vec<Contact> = found.entries.iter().map(contact).collect();
    let document = CustomContactDirectory {
        start_index: count(page.start),
        number_of_records: count(entries.len()),
        total_available_records: count(found.total),
        contacts: ContactList { entries },
    };
    Ok(Reply::document(200, document.to_element()))
}

/// The same of somebody as in [`details`], all on one level.
fn contact(entry: &openadp_appserver::DirectoryEntry) -> Contact {
    let (details, additional) = (profile::details(entry), profile::additional(entry));
    Contact {
        user_id: details.user_id,
        external_id: details.external_id,
        first_name: details.first_name,
        last_name: details.last_name,
        hiragana_last_name: details.hiragana_last_name,
        hiragana_first_name: details.hiragana_first_name,
        name_dialing_name: details.name_dialing_name,
        group_id: details.group_id,
        service_provider: details.service_provider,
        number: details.number,
        extension: details.extension,
        mobile: additional.mobile,
        title: additional.title,
        email_address: additional.email_address,
        department: additional.department,
        imp_id: additional.imp_id,
        ..Contact::default()
    }
}
