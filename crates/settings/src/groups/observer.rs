//! The observer: metrics, health and status on addresses of their own.

use crate::{Bind, Commas, HostPattern, OnReload, macros::settings};
use std::{path::PathBuf, time::Duration};

settings! {
    #[heading("Observer")]
    /// What operators are shown, and where.
    pub struct Metrics {
        /// HOST:PORT, unix:PATH or unix:@NAME where a process of its own serves a dashboard, /metrics, /status.json and the
        /// probes /livez, /readyz, /startupz, also while all workers are blocked; repeatable. Without a port it is that of
        /// --metrics-port. It shows paths and addresses of clients, to everybody who can connect.
        #[option("admin", default = Vec::new(), example("127.0.0.1:9090"), reload(OnReload::Kept), common)]
        pub admin: Vec<Bind>,
        /// Names by which browsers may ask --admin for the dashboard and /status.json, beside IP addresses, names without a dot,
        /// this machine's and those in --admin: as metrics.example.com, .example.com for all below it, or * for any; separated
        /// by commas, repeatable. /metrics and probes are served by any name.
        #[option("admin-hosts", default = Commas(Vec::new()), example("metrics.example.com"), reload(OnReload::Kept))]
        pub admin_hosts: Commas<HostPattern>,
        /// How many workers have to serve for /readyz to say that the server is ready; all of them, if there are fewer.
        #[option("ready-workers", default = 1, range(1, 1024), reload(OnReload::Kept))]
        pub ready_workers: u16,
        /// --admin at --metrics-address and --metrics-port.
        #[option("metrics", default = false, reload(OnReload::Kept))]
        pub enabled: bool,
        /// How old the memory and processor time of workers may be that the observer shows: it measures when it is asked.
        #[option("metrics-scrape-interval", default = Duration::from_secs(5), range(1, 60), reload(OnReload::Kept))]
        pub scrape_interval: Duration,
        /// The directory in which workers count the application's own metrics with prometheus_client (Python), whose sums
        /// /metrics shows beside those of the server: it is made, emptied at a start, and PROMETHEUS_MULTIPROC_DIR in
        /// workers. Without it that of PROMETHEUS_MULTIPROC_DIR is read, and not emptied.
        #[option("prometheus-multiproc-dir", default = None, example("/run/shop/metrics"), reload(OnReload::Kept))]
        pub multiproc_dir: Option<PathBuf>,
        /// Where the observer sends all metrics as OpenTelemetry has them (OTLP in JSON by HTTP), as
        /// http://collector:4318; without a path it is /v1/metrics. A collector over TLS is reached through one beside the server.
        #[option("otlp-endpoint", default = None, example("http://127.0.0.1:4318"), reload(OnReload::Kept))]
        pub otlp_endpoint: Option<String>,
        /// How often they are sent.
        #[option("otlp-interval", default = Duration::from_secs(15), range(1, 3600), reload(OnReload::Kept))]
        pub otlp_interval: Duration,
        /// The address of --metrics.
        #[option("metrics-address", default = "127.0.0.1".into(), reload(OnReload::Kept))]
        pub address: String,
        /// The port of --metrics, and of --admin without one; 0 lets the system choose.
        #[option("metrics-port", default = 9090, range(0, 65_535), reload(OnReload::Kept))]
        pub port: u16,
    }
}

impl Metrics {
    /// Where the observer is to listen; nowhere by default.
    #[must_use]
    pub fn addresses(&self) -> Vec<Bind> {
        let own = self.enabled.then(|| Bind::Tcp { host: self.address.clone(), port: Some(self.port) });
        let all = self.admin.iter().cloned().chain(own).map(|bind| match bind {
            Bind::Tcp { host, port } => Bind::Tcp { host, port: port.or(Some(self.port)) },
            bind => bind,
        });
        let mut once: Vec<Bind> = Vec::new();
        all.for_each(|bind| {
            if !once.contains(&bind) {
                once.push(bind)
            }
        });
        once
    }

    /// By which names browsers may ask there: those of these addresses, and those that were allowed.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostPattern> {
        let named = self.addresses().into_iter().filter_map(|bind| match bind {
            Bind::Tcp { host, .. } => Some(HostPattern::exactly(&host)),
            Bind::Unix(_) | Bind::Descriptor(_) => None,
        });
        named.chain(self.admin_hosts.0.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::{Bind, OptionValue};

    #[test]
    fn metrics_are_one_more_address() {
        let admin = |text| Bind::parse(text, &Metrics::admin().rules).unwrap();
        let shown = |metrics: &Metrics| metrics.addresses().iter().map(Bind::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&Metrics::default()), Vec::<String>::new());
        let both = Metrics {
            admin: vec![admin("localhost"), admin("unix:/run/a.sock"), admin("127.0.0.1:9090")],
            enabled: true,
            ..Metrics::default()
        };
        assert_eq!(shown(&both), ["localhost:9090", "unix:/run/a.sock", "127.0.0.1:9090"]);
    }
}
