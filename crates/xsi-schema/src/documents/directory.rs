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

document! {
    /// `commonPhoneEntry` and `entry`: somebody who is no user.
    PhoneEntry = "commonPhoneEntry" {
        /// Name.
        name: String = "name",
        /// Number.
        number: String = "number",
    }
}

document! {
    /// `EnterpriseCommon`: a page of the enterprise's phone list.
    EnterpriseCommon = "EnterpriseCommon" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        entries: Vec<PhoneEntry> = "commonPhoneEntry",
    }
}

document! {
    /// `GroupCommon`: a page of the group's phone list.
    GroupCommon = "GroupCommon" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        entries: Vec<PhoneEntry> = "commonPhoneEntry",
    }
}

document! {
    /// `Personal`: a page of the user's own phone list.
    PersonalDirectory = "Personal" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        entries: Vec<PhoneEntry> = "entry",
    }
}

document! {
    /// `directory`: a custom contact directory by its name.
    CustomContactReference = "directory" {
        /// Name.
        name: String = "name",
    }
}

document! {
    /// `CustomContact`: the custom contact directories of the user's group.
    CustomContact = "CustomContact" {
        /// The directories.
        directories: Vec<CustomContactReference> = "directory",
    }
}

document! {
    /// `contact`: one entry of a custom contact directory.
    Contact = "contact" {
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
        /// Name of a virtual user.
        name: Option<String> = "name",
        /// Mobile number.
        mobile: Option<String> = "mobile",
        /// Job title.
        title: Option<String> = "title",
        /// E-mail address.
        email_address: Option<String> = "emailAddress",
        /// Department.
        department: Option<String> = "department",
        /// Address of record of the primary line.
        address_of_record: Option<String> = "addressOfRecord",
        /// Id for messaging and presence.
        imp_id: Option<String> = "impId",
    }
}

document! {
    /// `contacts`: the list, empty when nothing matches.
    ContactList = "contacts" {
        /// Entries.
        entries: Vec<Contact> = "contact",
    }
}

document! {
    /// `Directory`: a page of a custom contact directory.
    CustomContactDirectory = "Directory" {
        /// 1-based index of the first entry, as asked for.
        start_index: u64 = "startIndex",
        /// Entries in this page.
        number_of_records: u64 = "numberOfRecords",
        /// All matches.
        total_available_records: u64 = "totalAvailableRecords",
        /// The entries.
        contacts: ContactList = "contacts",
    }
}
