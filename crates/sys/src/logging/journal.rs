//! Entries of systemd's journal (its "Native Journal Protocol"): the message, and each field by its name.

use super::{
    record::{Record, Value},
    text,
};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
    },
};
use std::{
    fs::File,
    io::Write as _,
    os::fd::{AsRawFd, BorrowedFd},
};
use tracing::Level;

/// An entry as it is sent.
pub(super) fn entry(record: &Record, identifier: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    add(&mut entry, "MESSAGE", &text::said(record));
    add(&mut entry, "PRIORITY", &severity(record.level).to_string());
    add(&mut entry, "SYSLOG_IDENTIFIER", identifier);
    add(&mut entry, "HOSTLER_EVENT", &record.message);
    for (name, value) in &record.fields {
        let value = match value {
            Value::Text(value) | Value::Shown(value) => value.clone(),
            Value::Integer(value) => value.to_string(),
            Value::Natural(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Truth(value) => value.to_string(),
        };
        add(&mut entry, &format!("HOSTLER_{}", name.to_ascii_uppercase()), &value);
    }
    entry
}

fn add(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// The severity of a level (RFC 5424 §6.2.1).
pub(super) fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Sends an entry that is too long for a datagram, as a sealed file.
pub(super) fn send_as_file(socket: BorrowedFd<'_>, address: &UnixAddr, entry: &[u8]) -> Result<(), Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"hostler-log", flags)?);
    file.write_all(entry).map_err(|_| Errno::ENOSPC)?;
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    let descriptors = [file.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg(socket.as_raw_fd(), &[], &rights, flags, Some(address)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_names_and_lines_have_lengths() {
        let mut record = Record::new(Level::ERROR, "it broke".into()).with("traceback", Some("a\nb"));
        record.fields.push(("pid", Value::Natural(7)));
        let entry = entry(&record, "shop");
        let expected =
            b"MESSAGE\n\x12\0\0\0\0\0\0\0it broke pid=7\na\nb\nPRIORITY=3\nSYSLOG_IDENTIFIER=shop\n\
            HOSTLER_EVENT=it broke\nHOSTLER_TRACEBACK\n\x03\0\0\0\0\0\0\0a\nb\nHOSTLER_PID=7\n";
        assert_eq!(String::from_utf8_lossy(&entry), String::from_utf8_lossy(expected));
    }
}
