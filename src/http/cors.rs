//! Cross-origin resource sharing (<https://fetch.spec.whatwg.org/#http-cors-protocol>): which pages' scripts may read
//! what a host sends.

use super::request::Request;

/// What is to be allowed, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Origins as `https://example.org`, or `*` alone for any.
    pub origins: Vec<String>,
    /// Methods; browsers allow GET and HEAD without asking.
    pub methods: Vec<String>,
    /// Request fields beyond those that need no leave.
    pub headers: Vec<String>,
    /// Response fields that scripts may read beyond the usual ones.
    pub expose: Vec<String>,
    /// How long a browser may remember all that, in seconds.
    pub max_age_s: Option<u32>,
    /// Whether requests may have cookies and passwords with them.
    pub credentials: bool,
}

/// Why that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// Nobody is allowed anything.
    #[error("origins is empty; write origins = [\"https://example.org\"], or [\"*\"] for any")]
    NoOrigin,
    /// No origin.
    #[error(
        "\"{0}\" is no origin; write scheme, host and port only, as in \"https://example.org\""
    )]
    Origin(String),
    /// Any origin, and others.
    #[error("\"*\" stands for any origin, and stands alone")]
    Star,
    /// What browsers refuse.
    #[error("credentials are never sent for \"*\": name the origins")]
    Credentials,
    /// No method or field.
    #[error("\"{0}\" is no name of a method or field")]
    Token(String),
    /// More than can be.
    #[error("{0} origins are more than {MAX_ORIGINS}")]
    TooMany(usize),
}

/// Origins that can be named: each request with one is compared with them.
pub const MAX_ORIGINS: usize = 1_000;

/// The settings of one host, as lines of responses.
#[derive(Debug, Clone)]
pub struct Cors {
    /// In order.
    origins: Vec<String>,
    /// The lines of every response: for strangers first, then for each origin.
    lines: Vec<String>,
    /// What the answer to a preflight request has beside them.
    preflight: String,
    is_for_any: bool,
}

/// To whom a response goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audience(u16);

const VARY: &str = "Vary: Origin\r\n";

impl Cors {
    /// What comes of `allowed`.
    ///
    /// # Errors
    /// It cannot be.
    pub fn new(allowed: &Allowed) -> Result<Cors, CorsError> {
        let is_for_any = allowed.origins.iter().any(|origin| origin == "*");
        match allowed.origins.len() {
            0 => return Err(CorsError::NoOrigin),
            1 if is_for_any && allowed.credentials => return Err(CorsError::Credentials),
            1 => {}
            _ if is_for_any => return Err(CorsError::Star),
            many if many > MAX_ORIGINS => return Err(CorsError::TooMany(many)),
            _ => {}
        }
        let preflight = preflight(allowed)?;
        let expose = list_line("Access-Control-Expose-Headers", &allowed.expose)?;
        if is_for_any {
            return Ok(Cors {
                origins: Vec::new(),
                lines: vec![format!("Access-Control-Allow-Origin: *\r\n{expose}")],
                preflight,
                is_for_any,
            });
        }
        let origins = allowed.origins.iter().map(|text| origin(text));
        let mut origins = origins.collect::<Result<Vec<String>, CorsError>>()?;
        origins.sort();
        let credentials = match allowed.credentials {
            true => "Access-Control-Allow-Credentials: true\r\n",
            false => "",
        };
        let lines_for = |origin| {
            format!("Access-Control-Allow-Origin: {origin}\r\n{credentials}{expose}{VARY}")
        };
        let strangers = [VARY.to_owned()].into_iter();
        Ok(Cors {
            lines: strangers.chain(origins.iter().map(lines_for)).collect(),
            origins,
            preflight,
            is_for_any,
        })
    }

    /// To whom the response to `request` goes.
    pub fn audience(&self, request: &Request<'_, '_>) -> Audience {
        match self.is_for_any {
            true => Audience::default(),
            false => self.audience_at(request.header("origin").next()),
        }
    }

    fn audience_at(&self, origin: Option<&[u8]>) -> Audience {
        let known = |origin: &[u8]| {
            let place = self
                .origins
                .binary_search_by(|own| own.as_bytes().cmp(origin));
            place.ok()
        };
        // There are far fewer than 65,535.
        let place = origin.and_then(known).map_or(0, |place| place as u16 + 1);
        Audience(place)
    }

    /// What every response to `audience` has to say.
    pub fn lines(&self, audience: Audience) -> &[u8] {
        let lines = self.lines.get(usize::from(audience.0));
        lines.map_or(b"", String::as_bytes)
    }

    /// What the answer to a preflight request says beside that; nothing to strangers.
    pub fn preflight(&self, audience: Audience) -> &[u8] {
        match self.is_for_any || audience != Audience::default() {
            true => self.preflight.as_bytes(),
            false => b"",
        }
    }
}

/// Whether an OPTIONS `request` is a browser's question whether another one is allowed.
pub fn is_preflight(request: &Request<'_, '_>) -> bool {
    let has = |name| request.header(name).next().is_some();
    has("origin") && has("access-control-request-method")
}

fn preflight(allowed: &Allowed) -> Result<String, CorsError> {
    let methods = list_line("Access-Control-Allow-Methods", &allowed.methods)?;
    let headers = list_line("Access-Control-Allow-Headers", &allowed.headers)?;
    let max_age = allowed
        .max_age_s
        .map(|seconds| format!("Access-Control-Max-Age: {seconds}\r\n"));
    Ok([methods, headers, max_age.unwrap_or_default()].concat())
}

/// The field `name` with these names of methods or fields, unless there are none.
fn list_line(name: &str, values: &[String]) -> Result<String, CorsError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = |value: &&String| !value.is_empty() && value.bytes().all(is_token);
    match values.iter().find(|value| !is_name(value)) {
        Some(bad) => Err(CorsError::Token(bad.clone())),
        None if values.is_empty() => Ok(String::new()),
        None => Ok(format!("{name}: {}\r\n", values.join(", "))),
    }
}

/// `text`, as browsers write an origin (RFC 6454 section 6.2).
fn origin(text: &str) -> Result<String, CorsError> {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
    };
    match text.split_once("://") {
        Some((scheme, host)) if is_scheme(scheme) && is_host(host) => {
            let text = text.to_ascii_lowercase();
            // Browsers do not name the port that a scheme has anyway.
            let usual = match &*scheme.to_ascii_lowercase() {
                "https" => ":443",
                "http" => ":80",
                _ => "",
            };
            Ok(text.strip_suffix(usual).unwrap_or(&text).to_owned())
        }
        _ => Err(CorsError::Origin(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str]) -> Allowed {
        Allowed {
            origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            ..Allowed::default()
        }
    }

    #[test]
    fn origins_are_named_as_browsers_do() {
        for (text, want) in [
            ("HTTPS://A.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("https://[fd00::443]", "https://[fd00::443]"),
            ("app://a:80", "app://a:80"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn an_origin_is_allowed_by_name() {
        let cors = Cors::new(&Allowed {
            credentials: true,
            max_age_s: Some(5),
            methods: vec!["GET".into(), "HEAD".into()],
            headers: vec!["X-A".into()],
            ..allowed(&["https://b.example:8443", "HTTP://a.example"])
        })
        .expect("settings");
        let preflight = "Access-Control-Allow-Methods: GET, HEAD\r\n\
                         Access-Control-Allow-Headers: X-A\r\nAccess-Control-Max-Age: 5\r\n";
        for (origin, is_known) in [
            (Some("http://a.example"), true),
            (Some("https://b.example:8443"), true),
            (Some("https://b.example"), false),
            (Some("HTTP://a.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let audience = cors.audience_at(origin.map(str::as_bytes));
            let lines = match origin.filter(|_| is_known) {
                Some(origin) => format!(
                    "Access-Control-Allow-Origin: {origin}\r\n\
                     Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
                ),
                None => "Vary: Origin\r\n".to_owned(),
            };
            assert_eq!(cors.lines(audience), lines.as_bytes(), "{origin:?}");
            let preflight = if is_known { preflight } else { "" };
            assert_eq!(cors.preflight(audience), preflight.as_bytes(), "{origin:?}");
        }
    }

    #[test]
    fn any_origin_gets_the_same() {
        let cors = Cors::new(&Allowed {
            expose: vec!["ETag".into(), "X-A".into()],
            ..allowed(&["*"])
        })
        .expect("settings");
        let lines =
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: ETag, X-A\r\n";
        for origin in [None, Some(&b"https://a.example"[..])] {
            let audience = cors.audience_at(origin);
            assert_eq!(cors.lines(audience), lines.as_bytes());
            assert_eq!(cors.preflight(audience), b"");
        }
    }

    #[test]
    fn what_cannot_be() {
        for (origins, why) in [
            (&[][..], CorsError::NoOrigin),
            (&["*", "https://a"], CorsError::Star),
            (&["a.example"], CorsError::Origin("a.example".into())),
            (&["https://"], CorsError::Origin("https://".into())),
            (&["https://a/"], CorsError::Origin("https://a/".into())),
            (&["null"], CorsError::Origin("null".into())),
            (
                &["https://a\r\nX: y"],
                CorsError::Origin("https://a\r\nX: y".into()),
            ),
        ] {
            assert_eq!(Cors::new(&allowed(origins)).err(), Some(why));
        }
        let any = Allowed {
            credentials: true,
            ..allowed(&["*"])
        };
        assert_eq!(Cors::new(&any).err(), Some(CorsError::Credentials));
        let bad = Allowed {
            methods: vec!["GE T".into()],
            ..allowed(&["*"])
        };
        assert_eq!(Cors::new(&bad).err(), Some(CorsError::Token("GE T".into())));
        let many = Allowed {
            origins: (0..=MAX_ORIGINS).map(|n| format!("https://{n}")).collect(),
            ..Allowed::default()
        };
        assert_eq!(Cors::new(&many).err(), Some(CorsError::TooMany(1_001)));
    }
}
