//! Certificates on their way to the workers. The master reads them, because workers may not be allowed to; files that change
//! are read again, and the keys of session tickets change with time. Workers serve what is new without being replaced.

use crate::{fleet::Fleet, molds::GenerationEntry, run::Master};
use hostler_settings::Tls;
use hostler_sys::message;
use hostler_tls::{Delivery, Loaded, Stamp, TicketKeys};
use hostler_wire::{Generation, ToWorker};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsFd,
    time::{Duration, Instant, SystemTime},
};
use tracing::{error, info, warn};

/// How often to look whether files have changed. What has changed is read when it has stayed as it is for so long: a
/// certificate and its key are two files.
const LOOK: Duration = Duration::from_secs(1);

/// Certificates as they were configured, and as they were read.
#[derive(Clone, Debug)]
pub struct TlsSource {
    /// The options, with the password.
    pub options: Tls,
    /// What their files had.
    pub loaded: Loaded,
}

/// What each generation's workers are given.
pub(crate) struct Certificates {
    tickets: TicketKeys,
    served: BTreeMap<Generation, Served>,
    look_at: Instant,
}

/// What the workers of a generation serve.
struct Served {
    source: TlsSource,
    /// It in memory, for the workers.
    file: File,
    /// The files when they were read.
    stamps: Vec<Stamp>,
    /// The files when they were last seen to differ from that.
    changing: Option<Vec<Stamp>>,
}

impl Certificates {
    /// With the keys of tickets that a predecessor left, or new ones.
    pub(crate) fn new(left: Option<Vec<u8>>) -> Self {
        let left = left.and_then(|bytes| TicketKeys::decode(&bytes));
        let tickets = left.unwrap_or_else(|| TicketKeys::new(SystemTime::now()));
        Self { tickets, served: BTreeMap::new(), look_at: Instant::now() }
    }

    /// The file for a worker of this generation; `None` without TLS.
    pub(crate) fn file(
        &mut self,
        generation: Generation,
        source: Option<&TlsSource>,
    ) -> io::Result<Option<&File>> {
        let Some(source) = source else { return Ok(None) };
        if !self.served.contains_key(&generation) {
            let file = file(source, &self.tickets)?;
            let served =
                Served { source: source.clone(), file, stamps: source.loaded.stamps.clone(), changing: None };
            self.served.insert(generation, served);
            self.look_at = Instant::now() + LOOK;
        }
        Ok(self.served.get(&generation).map(|served| &served.file))
    }

    /// The keys of tickets, for a successor; `None` without TLS.
    pub(crate) fn tickets(&self) -> Option<Vec<u8>> {
        (!self.served.is_empty()).then(|| self.tickets.encode()).flatten()
    }

    /// Gives up the files, in a process that serves with a copy of one.
    pub(crate) fn give_up(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.served)
    }

    /// When to look next.
    pub(crate) fn next(&self) -> Option<Instant> {
        (!self.served.is_empty()).then_some(self.look_at)
    }

    /// Reads what has changed, and makes new ticket keys when they are due; the generations whose workers are to be told.
    fn look(&mut self, now: SystemTime) -> Vec<Generation> {
        let rotated = now >= self.tickets.due();
        if rotated {
            self.tickets.rotate(now);
        }
        let mut renewed = Vec::new();
        for (generation, served) in &mut self.served {
            if !(served.reread(now) || rotated) {
                continue;
            }
            match file(&served.source, &self.tickets) {
                Ok(file) => {
                    served.file = file;
                    renewed.push(*generation);
                }
                Err(error) => error!(%error, "new certificates cannot be given to the workers"),
            }
        }
        renewed
    }

    fn tell(&self, generation: Generation, fleet: &Fleet) {
        let Some(served) = self.served.get(&generation) else { return };
        for (id, _) in fleet.all().filter(|(_, worker)| worker.assignment.generation == generation) {
            fleet.tell_with(id, &ToWorker::Certificates, &[served.file.as_fd()]);
        }
    }
}

impl Served {
    /// Reads the files if they have changed and can be used; whether there is something new to serve.
    fn reread(&mut self, now: SystemTime) -> bool {
        let stamps = hostler_tls::stamp(&self.source.loaded.files);
        if stamps == self.stamps {
            self.changing = None;
            return false;
        }
        if self.changing.as_ref() != Some(&stamps) {
            self.changing = Some(stamps);
            return false;
        }
        self.changing = None;
        self.stamps = stamps;
        match hostler_tls::load(&self.source.options, now, &hostler_tls::read_again) {
            Ok(Some(loaded)) if loaded.material == self.source.loaded.material => false,
            Ok(Some(loaded)) => {
                loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
                info!(files = loaded.files.len(), "certificates have changed: the new ones are served");
                self.source.loaded = loaded;
                true
            }
            Ok(None) => false,
            Err(failure) => {
                let (cause, hint) = (failure.cause.as_deref(), failure.hint.as_deref());
                let problem = failure.message.as_str();
                error!(
                    problem,
                    cause, hint, "certificates have changed and cannot be used: the old ones are served"
                );
                false
            }
        }
    }
}

/// What workers are given, in memory.
fn file(source: &TlsSource, tickets: &TicketKeys) -> io::Result<File> {
    let delivery = Delivery { material: source.loaded.material.clone(), tickets: tickets.clone() };
    message::file_with(&delivery.encode()?)
}

impl Master {
    /// Gives workers new certificates when they are due.
    pub(crate) fn renew_certificates(&mut self) {
        let now = Instant::now();
        if self.certificates.next().is_none_or(|due| now < due) {
            return;
        }
        self.certificates.look_at = now + LOOK;
        let known: Vec<Generation> = self.molds.generations().collect();
        self.certificates.served.retain(|generation, _| known.contains(generation));
        for generation in self.certificates.look(SystemTime::now()) {
            self.certificates.tell(generation, &self.fleet);
        }
    }
}

impl GenerationEntry {
    /// Its certificates.
    pub(crate) fn tls(&self) -> Option<&TlsSource> {
        self.spec.tls.as_ref()
    }
}
