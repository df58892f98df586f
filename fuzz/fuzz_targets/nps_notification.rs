//! What an application server posts to NotificationPushServer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_nps::notification_problems;

fuzz_target!(|bytes: &[u8]| {
    let problems = notification_problems(bytes);
    assert_eq!(problems, notification_problems(bytes));
});
