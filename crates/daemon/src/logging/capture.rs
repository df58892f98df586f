//! Takes log lines as data, for the outputs.

use super::{Line, Outputs, channels};
use openadp_appserver::{Clock as _, SystemClock};
use std::fmt::{Debug, Write as _};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Most bytes of a line's message or of one field; longer ones are cut.
const MAX_VALUE: usize = 8 * 1024;
/// Most fields of a line, those of the spans among them.
const MAX_FIELDS: usize = 64;

/// The layer.
pub(crate) struct Capture(pub(crate) Arc<Outputs>);

#[derive(Default)]
struct Fields {
    message: String,
    all: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, field: &Field, mut value: String) {
        if value.len() > MAX_VALUE {
            let end = (0..=MAX_VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
            value.truncate(end);
        }
        if field.name() == "message" {
            self.message = value;
        } else if field.name() == channels::NOTICE_FIELD {
            // It is the line's severity.
        } else if self.all.len() < MAX_FIELDS {
            self.all.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A value that cannot be written is an empty one.
        let _written = write!(text, "{value:?}");
        self.take(field, text);
    }
}

impl<S> Layer<S> for Capture
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !self.0.is_active() {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.0.is_active() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(known) = span.extensions().get::<Fields>() {
                let room = MAX_FIELDS.saturating_sub(fields.all.len());
                fields.all.extend(known.all.iter().take(room).cloned());
            }
        }
        let metadata = event.metadata();
        self.0.line(Line {
            at: SystemClock.now(),
            level: *metadata.level(),
            notice: channels::is_notice(metadata),
            channel: channels::channel(metadata.target()),
            target: metadata.target(),
            thread: std::thread::current().name().unwrap_or("-").to_owned(),
            message: fields.message,
            fields: fields.all,
        });
    }
}
