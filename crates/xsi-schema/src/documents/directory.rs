//! Directories (xsi.md 3.5).

use super::profile::{AdditionalDetails, NameDialingName, ServiceProvider};
use crate::Patch;
use crate::field::document;

document! {
    /// `directoryDetails`: one entry. `hirangana…` and `additionalDetails` are always given.
    DirectoryDetails = "directoryDetails" {
        /// User id.
        user_id: String = "userId",
        /// Id of an outside system.
        external_id: Option<String> = "externalId",
        /// First name.
        first_name: Patch<String> = "firstName",
        /// Last name.
        last_name: Patch<String> = "lastName",
        /// Last name in kana; the Latin name where there is none. The spelling is the wire's.
        hiragana_last_name: Patch<String> = "hiranganaLastName",
        /// First name in kana.
        hiragana_first_name: Patch<String> = "hiranganaFirstName",
        /// Name for dialling by name.
        name_dialing_name: Option<NameDialingName> = "nameDialingName",
        /// Group.
        group_id: Option<String> = "groupId",
        /// Service provider or enterprise.
        service_provider: Option<ServiceProvider> = "serviceProvider",
        /// Number with a dash after the country code.
        number: Option<String> = "number",
        /// Extension.
        extension: Option<String> = "extension",
        /// How to reach them otherwise.
        additional_details: AdditionalDetails = "additionalDetails",
    }
}

document! {
    /// `enterpriseDirectory`: the list, empty when nothing matches.
    EnterpriseList = "enterpriseDirectory" {
        /// Entries.
        entries: Vec<DirectoryDetails> = "directoryDetails",
    }
}

document! {
    /// `groupDirectory`: the list, empty when nothing matches.
    GroupList = "groupDirectory" {
        /// Entries.
        entries: Vec<DirectoryDetails> = "directoryDetails",
    }
}

document! {
    /// `Enterprise`: a page of the enterprise directory.
    EnterpriseDirectory = "Enterprise" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        directory: EnterpriseList = "enterpriseDirectory",
    }
}

document! {
    /// `Group`: a page of the group directory.
    GroupDirectory = "Group" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        directory: GroupList = "groupDirectory",
    }
}
