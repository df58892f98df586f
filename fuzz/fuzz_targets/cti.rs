//! What a CTI client sends: framing in two pieces gives the documents that framing at once gives; each is parsed, its URI
//! expanded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openadp_cti::wire::{Framer, Inbound, expand, parse};
use openadp_xsi_schema::ReadLimits;

fuzz_target!(|bytes: &[u8]| {
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let at_once = Framer::new(1 << 20, 64).feed(bytes, &mut whole).is_ok();
    let mut framer = Framer::new(1 << 20, 64);
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let in_pieces = framer.feed(head, &mut pieces).and_then(|()| framer.feed(tail, &mut pieces)).is_ok();
    assert_eq!(at_once, in_pieces);
    assert_eq!(whole, pieces);
    for document in whole {
        if let Ok(Inbound::Request(request)) = parse(&document, &ReadLimits::default()) {
            // Whether it can be expanded is the client's affair; that it ends is ours.
            let _expanded = request.call.ok().as_ref().map(expand);
        }
    }
});
