//! The JSON form (xsi.md 1.5): text in `{"$": …}`, attributes `"@name"`, one child an object, several an array.

mod reader;
mod writer;

pub use reader::read_json;
