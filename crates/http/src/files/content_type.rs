//! The media type of a file by its name: pure.

/// What files of unknown names are.
const UNKNOWN: &str = "application/octet-stream";

/// As in `Content-Type`: text says that it is UTF-8.
pub(super) fn of_name(name: &str) -> String {
    // Source maps (ECMA-426), for which the table has plain text.
    if name.ends_with(".map") {
        return "application/json".into();
    }
    match mime_guess::from_path(name).first_raw() {
        None => UNKNOWN.into(),
        // RFC 9239 §6.
        Some("application/javascript") => "text/javascript; charset=utf-8".into(),
        // XML says itself what it is written in.
        Some(kind) if is_text(kind) && kind != "text/xml" => format!("{kind}; charset=utf-8"),
        Some(kind) => kind.into(),
    }
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/")
}

/// Whether content of this type may be stored in another encoding beside itself: it is not compressed already.
pub(super) fn is_compressible(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    let (top, sub) = kind.split_once('/').unwrap_or_default();
    match top {
        "video" | "audio" => false,
        "image" => matches!(sub, "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon"),
        "font" => !matches!(sub, "woff" | "woff2"),
        _ => !matches!(
            sub,
            "gzip" | "zip" | "zstd" | "x-bzip2" | "x-xz" | "x-7z-compressed" | "font-woff" | "font-woff2"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_compressible, of_name};

    #[test]
    fn common_files_have_their_types() {
        for (name, kind) in [
            ("a/index.html", "text/html; charset=utf-8"),
            ("style.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("data.json", "application/json"),
            ("app.js.map", "application/json"),
            ("site.webmanifest", "application/manifest+json"),
            ("module.wasm", "application/wasm"),
            ("logo.svg", "image/svg+xml"),
            ("feed.xml", "text/xml"),
            ("photo.jpg", "image/jpeg"),
            ("photo.webp", "image/webp"),
            ("photo.avif", "image/avif"),
            ("font.woff2", "font/woff2"),
            ("favicon.ico", "image/x-icon"),
            ("archive.tar.gz", "application/gzip"),
            ("film.mp4", "video/mp4"),
            ("README", "application/octet-stream"),
            ("a.b/c", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(of_name(name), kind, "{name}");
        }
    }

    #[test]
    fn what_is_compressed_already_is_not_looked_for() {
        for name in ["photo.jpg", "font.woff2", "film.mp4", "archive.zip", "archive.tar.gz"] {
            assert!(!is_compressible(&of_name(name)), "{name}");
        }
        for name in ["app.js", "logo.svg", "module.wasm", "data.json", "README", "font.ttf"] {
            assert!(is_compressible(&of_name(name)), "{name}");
        }
    }
}
