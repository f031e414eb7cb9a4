//! The dashboard: one page with everything in it, which asks for `/status.json` once a second.

use std::sync::LazyLock;

/// What the page may do: run its own script, have its own style, and ask this server.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page, made once.
pub(crate) fn page() -> &'static str {
    static WHOLE: LazyLock<String> =
        LazyLock::new(|| PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT));
    &WHOLE
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        let page = super::page();
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("status.json"));
        assert!(!page.contains("/*STYLE*/") && !page.contains("/*SCRIPT*/"));
        assert!(!page.contains("http://") && !page.contains("https://"), "a resource of another server");
    }
}
