//! Command lines, as the libraries read them that peers use: argparse and click.
//!
//! argparse takes unambiguous beginnings of long options, short options with their value attached, and no value that looks
//! like an option; click takes whole names alone, and anything as a value.

use crate::{
    item::{Place, Said},
    names,
    peer::Peer,
    row::{Becomes, Prints, Row, Takes},
};
use hostler_wire::{ExitStatus, Failure};
use std::collections::VecDeque;

/// Which library it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grammar {
    Argparse,
    Click,
}

/// A command line, read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) said: Vec<Said>,
    pub(crate) positionals: Vec<String>,
}

struct Reader<'a> {
    peer: Peer,
    grammar: Grammar,
    place: &'a Place,
    rest: VecDeque<String>,
    parsed: Parsed,
}

/// Reads a command line.
pub(crate) fn parse(peer: Peer, args: Vec<String>, place: &Place) -> Result<Parsed, Failure> {
    let rest = VecDeque::from(args);
    let mut reader = Reader { peer, grammar: peer.grammar(), place, rest, parsed: Parsed::default() };
    while let Some(word) = reader.rest.pop_front() {
        reader.word(word)?;
    }
    Ok(reader.parsed)
}

impl Reader<'_> {
    fn word(&mut self, word: String) -> Result<(), Failure> {
        if word == "--" {
            self.parsed.positionals.extend(self.rest.drain(..));
        } else if word.starts_with("--") {
            self.long(&word)?;
        } else if word.starts_with('-') && word.len() > 1 {
            self.short(&word)?;
        } else {
            self.parsed.positionals.push(word);
        }
        Ok(())
    }

    fn long(&mut self, word: &str) -> Result<(), Failure> {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let (row, name) = self.find(name)?;
        let off = row.negation == Some(name);
        let value = match (row.takes, attached) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(_)) => return Err(self.wrong(format!("{name} takes no value"))),
            (_, Some(value)) => Some(value),
            (takes, None) => Some(self.value(name, takes)?),
        };
        self.say(row, name, value, off);
        Ok(())
    }

    /// `-w 4`, `-w4`, `-w=4`; flags in one word: `-DR`.
    fn short(&mut self, word: &str) -> Result<(), Failure> {
        let mut letters = word.trim_start_matches('-');
        while let Some(letter) = letters.chars().next() {
            let name = format!("-{letter}");
            letters = &letters[letter.len_utf8()..];
            let found = self.peer.rows().iter().find(|row| row.is_called(&name));
            let row = found.ok_or_else(|| self.unknown(word))?;
            if row.takes == Takes::Nothing {
                self.say(row, &name, None, false);
                continue;
            }
            let attached = Some(letters.strip_prefix('=').unwrap_or(letters)).filter(|rest| !rest.is_empty());
            let value = match attached {
                Some(value) => value.to_owned(),
                None => self.value(&name, row.takes)?,
            };
            self.say(row, &name, Some(value), false);
            break;
        }
        Ok(())
    }

    /// The value of an option, which is the next word.
    fn value(&mut self, name: &str, takes: Takes) -> Result<String, Failure> {
        let looks_like_an_option = |word: &String| {
            self.grammar == Grammar::Argparse
                && word.len() > 1
                && word.starts_with('-')
                && !word.contains(' ')
                && word.parse::<f64>().is_err()
        };
        match (self.rest.front().filter(|word| !looks_like_an_option(word)), takes) {
            (Some(_), _) => Ok(self.rest.pop_front().unwrap_or_default()),
            (None, Takes::Optional(alone)) => Ok(alone.to_owned()),
            (None, _) => Err(self.wrong(format!("{name} needs a value"))),
        }
    }

    /// The option of a long name, and the name in full.
    fn find<'b>(&self, name: &'b str) -> Result<(&'static Row, &'b str), Failure>
    where
        'static: 'b,
    {
        let rows = self.peer.rows();
        if let Some(row) = rows.iter().find(|row| row.is_called(name)) {
            return Ok((row, name));
        }
        if self.grammar == Grammar::Click {
            return Err(self.unknown(name));
        }
        // `--explain` is none of the peer's, and makes none of its abbreviations ambiguous.
        let own = |row: &Row| !matches!(row.becomes, Becomes::Prints(Prints::Explanation));
        let spellings = rows.iter().filter(|row| own(row)).flat_map(|row| {
            let names = row.names.iter().copied().chain(row.negation);
            names.map(move |spelling| (row, spelling))
        });
        let matching: Vec<_> = spellings.filter(|(_, spelling)| spelling.starts_with(name)).collect();
        match matching.as_slice() {
            [(row, spelling)] => Ok((row, spelling)),
            [] => Err(self.unknown(name)),
            [(row, spelling), others @ ..] if others.iter().all(|(other, _)| other.name() == row.name()) => {
                Ok((row, spelling))
            }
            all => {
                let names: Vec<_> = all.iter().map(|(_, spelling)| *spelling).collect();
                Err(self.wrong(format!("{name} may be {}", names.join(" or "))))
            }
        }
    }

    fn say(&mut self, row: &'static Row, name: &str, value: Option<String>, off: bool) {
        let place = self.place.clone();
        self.parsed.said.push(Said { row, name: name.to_owned(), value, off, place });
    }

    fn unknown(&self, name: &str) -> Failure {
        let failure = self.wrong(format!("{} has no option {name}", self.peer.title()));
        failure.hint(match names::similar(name, self.peer.rows()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!(
                "`hostler as {} --help` says where its options are listed; hostler's own are set by variables such as HOSTLER_STALL_TIMEOUT=60",
                self.peer.name()
            ),
        })
    }

    fn wrong(&self, message: String) -> Failure {
        let status = if *self.place == Place::Argv { ExitStatus::Usage } else { ExitStatus::Config };
        Failure::new(status, format!("{message} ({}, {})", self.peer.name(), self.place))
    }
}
