//! What the master tells the observer.

use crate::{CompanionView, Descriptor};
use hostler_settings::{HostPattern, Log};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The argument by which the program knows that it is to be the observer.
pub const OBSERVER_ARGUMENT: &str = "--this-process-is-the-observer";
/// The descriptor on which the observer is sent what it needs, and which is closed when it is to end.
pub const OBSERVER_CHANNEL: i32 = 3;

/// Where metrics are exported to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtlpSettings {
    /// As the user wrote it.
    pub endpoint: String,
    /// Host and port.
    pub authority: String,
    /// The path of the requests.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// What the server calls itself.
    pub service: String,
}

/// What the observer is told, beside its descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObserverSetup {
    /// What the descriptors are that come with the message.
    pub descriptors: Vec<Descriptor>,
    /// How it appears.
    pub appearance: Appearance,
    /// Where the server listens, as clients would write it.
    pub listeners: Vec<String>,
    /// For each listening socket, which of these it belongs to.
    pub sockets: Vec<usize>,
    /// How many workers have to serve for the server to be ready.
    pub ready_workers: u32,
    /// By which names browsers may ask it.
    pub hosts: Vec<HostPattern>,
    /// How old the measured memory and processor time of processes may be.
    pub measure_interval: Duration,
    /// Where workers count the application's metrics with prometheus_client, if they do.
    pub application_metrics: Option<PathBuf>,
    /// Where metrics are exported to, if they are.
    pub otlp: Option<OtlpSettings>,
    /// The file of the task queue, if the server keeps one.
    pub task_queue: Option<PathBuf>,
}

/// What the observer and the keeper of the task queue are told later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToProgram {
    /// Appear otherwise: a reload has changed it.
    Appear(Box<Appearance>),
    /// The log was reopened; its descriptors come with the message.
    ReopenLog,
    /// The observer: how companions stand now.
    Companions {
        /// How many of them were told before, in other messages.
        from: usize,
        /// The others, or some of them.
        views: Vec<CompanionView>,
    },
}

/// How a process of the server appears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Appearance {
    /// `--process-name`.
    pub process_name: Option<String>,
    /// What is served.
    pub title: String,
    /// How its log lines look.
    pub log: Log,
}
