//! Who lives in the lab: one enterprise, two groups, twenty subscribers, three administrators.
//!
//! The names are invented. Some are not ASCII, because operators' customers are not; the first one is, so that the
//! simplest copy-paste works in every terminal. Numbers come from the block reserved for fiction (NPA-555-01xx).

/// The lab's enterprise.
pub(crate) const ENTERPRISE: &str = "lab-enterprise";
/// Domain of all user ids.
pub(crate) const DOMAIN: &str = "lab.example";
/// Country code of all numbers.
pub(crate) const COUNTRY_CODE: &str = "1";

/// A group of the enterprise.
pub(crate) struct Group {
    /// Id.
    pub(crate) id: &'static str,
}

/// Both groups.
pub(crate) const GROUPS: [Group; 2] = [Group { id: "harbour" }, Group { id: "hillside" }];

/// One invented person.
pub(crate) struct Person {
    /// Local part of the user id.
    pub(crate) login: &'static str,
    /// First name.
    pub(crate) first_name: &'static str,
    /// Last name.
    pub(crate) last_name: &'static str,
    /// Job title.
    pub(crate) title: &'static str,
    /// Department.
    pub(crate) department: &'static str,
}

const fn person(
    login: &'static str,
    first_name: &'static str,
    last_name: &'static str,
    title: &'static str,
    department: &'static str,
) -> Person {
    Person { login, first_name, last_name, title, department }
}

/// The first ten belong to the first group, the others to the second.
pub(crate) const PEOPLE: [Person; 20] = [
    person("alice.carter", "Alice", "Carter", "Dispatcher", "Operations"),
    person("bo.lindqvist", "Bo", "Lindqvist", "Harbour Pilot", "Operations"),
    person("chidi.okafor", "Chidi", "Okafor", "Accountant", "Finance"),
    person("daniela.munoz", "Daniela", "Muñoz", "Head of Sales", "Sales"),
    person("emre.yildiz", "Emre", "Yıldız", "Crane Operator", "Operations"),
    person("francoise.lefevre", "Françoise", "Lefèvre", "Lawyer", "Legal"),
    person("grace.oneill", "Grace", "O'Neill", "Receptionist", "Front Desk"),
    person("hana.novakova", "Hana", "Nováková", "Engineer", "Maintenance"),
    person("ibrahim.haddad", "Ibrahim", "Haddad", "Buyer", "Purchasing"),
    person("jun.tanaka", "純", "田中", "Translator", "Front Desk"),
    person("katarzyna.wojcik", "Katarzyna", "Wójcik", "Office Manager", "Administration"),
    person("lukas.gross", "Lukas", "Groß", "Technician", "Maintenance"),
    person("mei.chen", "Mei", "Chen", "Analyst", "Finance"),
    person("niamh.byrne", "Niamh", "Byrne", "Recruiter", "People"),
    person("oleksandr.shevchuk", "Олександр", "Шевчук", "Developer", "Engineering"),
    person("priya.raman", "Priya", "Raman", "Product Manager", "Engineering"),
    person("quentin.dubois", "Quentin", "Dubois", "Designer", "Engineering"),
    person("rosa.garcia", "Rosa", "García & Hijos", "Supplier Liaison", "Purchasing"),
    person("soren.aagaard", "Søren", "Aagaard", "Support Agent", "Support"),
    person("thandiwe.mbeki", "Thandiwe", "Mbeki", "Support Lead", "Support"),
];

impl Person {
    /// Full user id.
    pub(crate) fn user_id(&self) -> String {
        format!("{}@{DOMAIN}", self.login)
    }
}

/// Number of the person at this index of [`PEOPLE`].
pub(crate) fn number(index: usize) -> String {
    format!("+1212555{:04}", 100 + index)
}

/// Extension of the person at this index.
pub(crate) fn extension(index: usize) -> String {
    format!("{}", 2100 + index)
}

/// Group of the person at this index.
pub(crate) fn group(index: usize) -> &'static Group {
    if index < PEOPLE.len() / 2 { &GROUPS[0] } else { &GROUPS[1] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_is_ascii_and_nobody_is_there_twice() {
        let first = &PEOPLE[0];
        assert!(format!("{}{}{}", first.login, first.first_name, first.last_name).is_ascii());
        let logins: BTreeSet<_> = PEOPLE.iter().map(Person::user_id).collect();
        assert_eq!(logins.len(), PEOPLE.len());
        assert!(PEOPLE.iter().any(|p| !p.last_name.is_ascii()));
        let numbers: BTreeSet<_> = (0..PEOPLE.len()).map(number).collect();
        assert_eq!(numbers.len(), PEOPLE.len());
    }
}
