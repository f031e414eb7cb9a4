//! Messages for syslog: RFC 5424, with the fields as structured data, and RFC 3164.

use super::{
    journal::severity,
    json,
    record::{Record, Value},
    stamp, text,
};
use crate::clock;
use hostler_settings::{SyslogFacility, SyslogFormat};
use std::fmt::Write as _;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Enterprise numbers are assigned; this one is for documentation, and used by programs that have none.
const STRUCTURED: &str = "hostler@32473";

/// What all messages of this process have in common.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) facility: SyslogFacility,
    /// Never `Auto`.
    pub(super) format: SyslogFormat,
    pub(super) identifier: String,
    /// The machine's name; `None` where the receiver is on this machine.
    pub(super) host: Option<String>,
}

impl Envelope {
    /// A whole message.
    pub(super) fn message(&self, record: &Record, is_json: bool) -> String {
        let now = stamp::now();
        let said = match is_json {
            true => json::line(record, &stamp::microseconds(now)).trim_end().to_owned(),
            false => text::said(record),
        };
        let priority = facility(self.facility) * 8 + severity(record.level);
        let pid = std::process::id();
        let host = self.host.as_deref();
        let identifier = &self.identifier;
        if self.format == SyslogFormat::Rfc5424 {
            let (stamp, host) = (stamp::microseconds(now), host.unwrap_or("-"));
            let data = structured(record);
            return format!("<{priority}>1 {stamp} {host} {identifier} {pid} - {data} {said}");
        }
        let host = host.map(|host| format!("{host} ")).unwrap_or_default();
        format!("<{priority}>{} {host}{identifier}[{pid}]: {said}", local(now.0))
    }
}

/// `Nov 22 19:30:26`, in local time.
fn local(second: u64) -> String {
    let second = second.saturating_add_signed(i64::from(clock::local_offset(second)));
    let (_, month, day) = stamp::date(second / 86_400);
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!("{} {day:>2} {hour:02}:{minute:02}:{second:02}", month.unwrap_or(&"Jan"))
}

/// The name of a program as syslog has it (RFC 5424 §6.2.5): up to 48 printable characters, without spaces.
pub(super) fn name(text: &str) -> String {
    let name: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).take(48).collect();
    if name.is_empty() { "-".into() } else { name }
}

fn facility(facility: SyslogFacility) -> u8 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Daemon => 3,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

/// The event and its fields; what has several lines is in the message alone.
fn structured(record: &Record) -> String {
    let mut data = format!("[{STRUCTURED}");
    add(&mut data, "event", record.message.lines().next().unwrap_or_default());
    for (name, value) in &record.fields {
        match value {
            Value::Text(value) | Value::Shown(value) if value.contains('\n') => {}
            Value::Text(value) | Value::Shown(value) => add(&mut data, name, value),
            Value::Integer(value) => add(&mut data, name, &value.to_string()),
            Value::Natural(value) => add(&mut data, name, &value.to_string()),
            Value::Float(value) => add(&mut data, name, &value.to_string()),
            Value::Truth(value) => add(&mut data, name, &value.to_string()),
        }
    }
    data.push(']');
    data
}

fn add(data: &mut String, name: &str, value: &str) {
    let _ = write!(data, " {name}=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            data.push('\\');
        }
        data.push(if c.is_control() { ' ' } else { c });
    }
    data.push('"');
}

/// The beginning of a message that is too long for its receiver.
pub(super) fn cut(message: &str, length: usize) -> &str {
    let end = (0..=length.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn message(format: SyslogFormat, host: Option<&str>) -> String {
        let envelope = Envelope {
            facility: SyslogFacility::Local1,
            format,
            identifier: "shop".into(),
            host: host.map(str::to_owned),
        };
        let record = Record::new(Level::WARN, "it broke".into()).with("path", Some("/a\"]b"));
        envelope.message(&record, false)
    }

    #[test]
    fn both_forms_have_priority_program_and_message() {
        let pid = std::process::id();
        let new = message(SyslogFormat::Rfc5424, Some("here"));
        // 17 * 8 + 4
        assert!(
            new.starts_with("<140>1 20")
                && new.contains(&format!("Z here shop {pid} - [hostler@32473 event=\"it broke\"")),
            "{new}"
        );
        assert!(new.ends_with(" path=\"/a\\\"\\]b\"] it broke path=\"/a\\\"]b\""), "{new}");
        let old = message(SyslogFormat::Rfc3164, None);
        assert!(
            old.starts_with("<140>") && old.ends_with(&format!(" shop[{pid}]: it broke path=\"/a\\\"]b\"")),
            "{old}"
        );
        assert_eq!(old.split(" shop[").next().unwrap().len(), "<140>Nov 22 19:30:26".len());
    }

    #[test]
    fn a_name_has_no_character_that_ends_it() {
        assert_eq!(name("shop"), "shop");
        assert_eq!(name("my shop\nä"), "my-shop--");
        assert_eq!((name(""), name(&"x".repeat(200)).len()), ("-".into(), 48));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("aäb", 3), "aä");
        assert_eq!(cut("ab", 9), "ab");
    }
}
