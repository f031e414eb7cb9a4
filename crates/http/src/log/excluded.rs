//! Paths that have no lines in the access log.

/// Paths, whole or by how they begin.
#[derive(Debug, Default)]
pub(crate) struct Excluded {
    whole: Vec<String>,
    beginnings: Vec<String>,
}

impl Excluded {
    /// `*` at the end of a path stands for any rest.
    pub(crate) fn new(paths: &[String]) -> Self {
        let mut this = Self::default();
        for path in paths {
            match path.strip_suffix('*') {
                Some(beginning) => this.beginnings.push(beginning.to_owned()),
                None => this.whole.push(path.clone()),
            }
        }
        this
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.whole.iter().any(|whole| whole == path)
            || self.beginnings.iter().any(|beginning| path.starts_with(beginning.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::Excluded;

    #[test]
    fn a_star_stands_for_any_rest() {
        let excluded = Excluded::new(&["/health".into(), "/static/*".into()]);
        assert!(excluded.has("/health") && excluded.has("/static/") && excluded.has("/static/a/b"));
        assert!(!excluded.has("/health/") && !excluded.has("/static") && !excluded.has("/"));
        assert!(!Excluded::new(&[]).has("/"));
    }
}
