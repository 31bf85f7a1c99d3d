//! The fields that decide about framing and persistence, collected in one pass.

use super::authority::Authority;
use super::request::RequestBody;
use super::status::Status;
use super::target::Form;

/// What those of one head say.
#[derive(Debug, Default)]
pub(super) struct Fields<'b> {
    host: Option<&'b [u8]>,
    hosts: usize,
    content_length: Option<u64>,
    codings: Codings,
    expects: Expects,
    close: bool,
    keep_alive: bool,
}

/// What of [`Expect`](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1) a request has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expects {
    /// No expectation.
    #[default]
    Nothing,
    /// 100-continue.
    Continue,
    /// One that is not known.
    More,
}

/// The transfer codings, in the order of all field lines.
#[derive(Debug, Default)]
struct Codings {
    /// Whether there is a field, even if it is empty.
    named: bool,
    chunked: usize,
    others: usize,
    last_is_chunked: bool,
}

impl<'b> Fields<'b> {
    /// Takes note of a field.
    ///
    /// # Errors
    /// The status to end the connection with.
    pub fn add(&mut self, name: &str, value: &'b [u8]) -> Result<(), Status> {
        if name.eq_ignore_ascii_case("host") {
            self.host = Some(value);
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case("connection") {
            self.add_connection_options(value);
        } else if name.eq_ignore_ascii_case("content-length") {
            self.add_content_length(value)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.codings.add(value);
        } else if name.eq_ignore_ascii_case("expect") {
            self.add_expectations(value);
        }
        Ok(())
    }

    fn add_connection_options(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn add_expectations(&mut self, value: &[u8]) {
        for expectation in elements(value) {
            let known = expectation.eq_ignore_ascii_case(b"100-continue");
            if !known {
                self.expects = Expects::More;
            } else if self.expects == Expects::Nothing {
                self.expects = Expects::Continue;
            }
        }
    }

    /// Digits alone; said twice, they must agree (RFC 9112 section 6.3). Lists of them are refused.
    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Status> {
        // `u64::from_str` would accept a sign.
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = str::from_utf8(value)
            .ok()
            .filter(|_| digits)
            .and_then(|text| text.parse().ok());
        match (length, self.content_length) {
            (Some(length), None) => self.content_length = Some(length),
            (Some(length), Some(earlier)) if length == earlier => {}
            _ => return Err(Status::BadRequest),
        }
        Ok(())
    }

    /// Exactly one `Host` in 1.1, at most one in 1.0, and none that cannot be one (RFC 9112 section 3.2). It is empty
    /// only if it need not say whose the target is: an http URI without a host is invalid (RFC 9110 section 4.2.1).
    ///
    /// # Errors
    /// 400.
    pub fn check_host(&self, minor_version: u8, form: &Form<'_>) -> Result<(), Status> {
        let count_fits = self.hosts == 1 || (self.hosts == 0 && minor_version == 0);
        let may_be_empty = minor_version == 0 || !matches!(form, Form::Origin(_));
        let is_valid = self.host.is_none_or(|value| {
            value.is_empty() && may_be_empty
                || Authority::parse(value).is_some_and(|authority| authority.has_host)
        });
        if count_fits && is_valid {
            Ok(())
        } else {
            Err(Status::BadRequest)
        }
    }

    /// The value of `Host`.
    pub fn host(&self) -> Option<&'b [u8]> {
        self.host
    }

    /// What follows the head (RFC 9112 sections 6.1 and 6.3). What 1.0 says about transfer codings cannot be trusted.
    ///
    /// # Errors
    /// 400 when that is not clear, 501 when it is in a coding that is not known.
    pub fn body(&self, minor_version: u8) -> Result<RequestBody, Status> {
        let codings = &self.codings;
        if !codings.named {
            return Ok(RequestBody::Length(self.content_length.unwrap_or(0)));
        }
        let is_delimited = codings.last_is_chunked && codings.chunked == 1;
        if self.content_length.is_some() || minor_version == 0 || !is_delimited {
            return Err(Status::BadRequest);
        }
        match codings.others {
            0 => Ok(RequestBody::Chunked),
            _ => Err(Status::NotImplemented),
        }
    }

    /// What the client expects; in 1.0 that is nothing, whatever it says (RFC 9110 section 10.1.1).
    pub fn expects(&self, minor_version: u8) -> Expects {
        match minor_version {
            0 => Expects::Nothing,
            _ => self.expects,
        }
    }

    /// Whether the client expects the connection to stay open (RFC 9112 section 9.3).
    pub fn keep_alive(&self, minor_version: u8) -> bool {
        !self.close && (minor_version > 0 || self.keep_alive)
    }
}

impl Codings {
    fn add(&mut self, value: &[u8]) {
        self.named = true;
        for coding in elements(value) {
            // With parameters it would not be chunked as it is known (RFC 9112 section 7.1).
            self.last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += usize::from(self.last_is_chunked);
            self.others += usize::from(!self.last_is_chunked);
        }
    }
}

/// The elements of a list that are not empty (RFC 9110 section 5.6.1.2).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let trimmed = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    trimmed.filter(|element| !element.is_empty())
}
