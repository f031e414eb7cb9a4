//! `--response-header`: headers that responses have unless they have their own.

use hostler_settings::Responses;
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

/// The headers, by name. They live as long as the worker.
#[derive(Debug)]
pub(crate) struct AddedHeaders(Vec<(HeaderName, Vec<HeaderValue>)>);

impl AddedHeaders {
    /// Those that are configured, if any are.
    pub(crate) fn new(settings: &Responses) -> Option<&'static Self> {
        let mut headers: Vec<(HeaderName, Vec<HeaderValue>)> = Vec::new();
        for line in &settings.headers {
            // The configuration was checked.
            let (Ok(name), Ok(value)) =
                (HeaderName::try_from(line.name.as_str()), HeaderValue::from_bytes(line.value.as_bytes()))
            else {
                continue;
            };
            match headers.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => headers.push((name, vec![value])),
            }
        }
        (!headers.is_empty()).then(|| &*Box::leak(Box::new(Self(headers))))
    }

    /// Adds those that the response does not have.
    pub(crate) fn add(&self, headers: &mut HeaderMap) {
        for (name, values) in &self.0 {
            if !headers.contains_key(name) {
                headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AddedHeaders;
    use hostler_settings::{HeaderLine, Responses};
    use hyper::HeaderMap;

    #[test]
    fn a_response_keeps_its_own_and_gets_all_of_a_name_that_it_does_not_have() {
        let line = |name, value| HeaderLine::new(name, value).unwrap();
        let headers = vec![line("X-A", "1"), line("Link", "<a>"), line("link", "<b>")];
        let added = AddedHeaders::new(&Responses { headers }).unwrap();
        let mut response = HeaderMap::new();
        response.insert("x-a", "own".parse().unwrap());
        added.add(&mut response);
        let of = |name| response.get_all(name).iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((of("x-a"), of("link")), (vec!["own"], vec!["<a>", "<b>"]));
        assert!(AddedHeaders::new(&Responses::default()).is_none());
    }
}
