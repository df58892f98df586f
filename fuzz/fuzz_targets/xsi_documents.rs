//! Typed documents that clients send: what is read as a type is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_xsi_schema::{
    Channel, Document, Element, EventResponse, PushNotificationRegistration, ReadLimits, Services,
    Subscription, read,
};

fn round<T: Document>(element: &Element) {
    if let Ok(document) = T::from_element(element) {
        assert!(T::from_element(&document.to_element()).is_ok());
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(element) = read(bytes, &ReadLimits::default()) {
        round::<Channel>(&element);
        round::<Subscription>(&element);
        round::<EventResponse>(&element);
        round::<Services>(&element);
        round::<PushNotificationRegistration>(&element);
    }
});
