//! Static files, and files that applications name.

use super::YEAR;
use crate::{HeaderLine, Immutable, StaticMount, macros::settings};
use std::{path::PathBuf, time::Duration};

settings! {
    #[heading("Static files")]
    /// Static files.
    pub struct StaticFiles {
        /// The path of URLs under which the files of a directory are served: the first route for the first
        /// --static-path-mount, and so on; the longest route that matches wins.
        #[option("static-path-route", default = vec!["/static".into()])]
        pub route: Vec<String>,
        /// A directory whose files are served without the application.
        #[option("static-path-mount", default = Vec::new(), example("/srv/shop/static"), common)]
        pub mount: Vec<PathBuf>,
        /// The file that is served for a directory, such as index.html.
        #[option("static-path-dir-to-file", default = None, example("index.html"))]
        pub dir_to_file: Option<String>,
        /// How long clients may cache static files (Cache-Control: max-age); 0 says nothing of it.
        #[option("static-path-expires", default = Duration::from_secs(86_400), range(0, YEAR))]
        pub expires: Duration,
        /// Serve /about from about.html.
        #[option("static-path-clean-urls", default = false)]
        pub clean_urls: bool,
        /// A header of every static file, as "Name: value".
        #[option("static-path-header", default = Vec::new(), example("X-Content-Type-Options: nosniff"))]
        pub header: Vec<HeaderLine>,
        /// Which files never change, so that clients may keep them for a year: auto are those with a hash of their
        /// content in their name (Django's ManifestStaticFilesStorage, Vite, webpack, esbuild).
        #[option("static-path-immutable", default = Immutable::Auto)]
        pub immutable: Immutable,
        /// Send FILE.br, FILE.zst or FILE.gz, if it is there, in place of FILE to clients that accept it.
        #[option("static-path-precompressed", default = true)]
        pub precompressed: bool,
        /// Follow symbolic links that lead out of their directory.
        #[option("static-path-follow-links", default = false)]
        pub follow_links: bool,
        /// A directory with a route and settings of its own: ROUTE=DIRECTORY, or in the configuration file a table
        /// [[static-mount]] with route, path, and any of index, expires, headers, immutable, precompressed, clean-urls,
        /// fallback, fallthrough, follow-links, hidden.
        #[option("static-mount", default = Vec::new(), example("/media=/srv/shop/media"))]
        pub mounts: Vec<StaticMount>,
        /// A directory beneath which the application may name a file as its response, by the header X-Sendfile.
        #[option("x-sendfile", default = Vec::new(), example("/srv/shop/private"))]
        pub x_sendfile: Vec<PathBuf>,
    }
}

impl StaticFiles {
    /// Every mount: those of routes and directories, then those with settings of their own. What the latter leave out is as the
    /// options say.
    pub fn all_mounts(&self) -> impl Iterator<Item = StaticMount> {
        let pairs = self.route.iter().zip(&self.mount);
        let pairs = pairs.map(|(route, path)| StaticMount::new(route.clone(), path.clone()));
        pairs.chain(self.mounts.iter().cloned()).map(|mut mount| {
            mount.index = mount.index.or_else(|| self.dir_to_file.clone());
            mount.expires.get_or_insert(self.expires);
            mount.immutable.get_or_insert(self.immutable);
            mount.precompressed.get_or_insert(self.precompressed);
            mount.clean_urls.get_or_insert(self.clean_urls);
            mount.follow_links.get_or_insert(self.follow_links);
            let own = std::mem::take(&mut mount.headers);
            let others = self.header.iter().filter(|line| !own.iter().any(|own| own.is_same_name(line)));
            mount.headers = others.cloned().chain(own.iter().cloned()).collect();
            mount
        })
    }
}
