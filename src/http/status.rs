//! Status codes that come without an entry, each with its fixed page.

/// Declares the codes; reason phrases and pages are put together at compile time, with nothing of the request in them.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal, $text:literal;)*) => {
        /// A status that a response carries when there is no file to send (RFC 9110 section 15).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Status {
            $($(#[$doc])* $name = $code,)*
        }

        impl Status {
            /// Every status, in ascending order.
            pub const ALL: &[Status] = &[$(Status::$name,)*];

            /// The status line with its CRLF.
            pub fn line(self) -> &'static str {
                match self {
                    $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)*
                }
            }

            /// The page that explains it.
            pub fn page(self) -> &'static str {
                match self {
                    $(Status::$name => concat!(
                        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>", $code, " ", $reason,
                        "</title>\n<h1>", $code, " ", $reason, "</h1>\n<p>", $text, "</p>\n</html>\n",
                    ),)*
                }
            }
        }
    };
}

statuses! {
    /// The name lacks the slash of a directory, or a rule leads elsewhere.
    MovedPermanently = 301, "Moved Permanently", "What you asked for is at another address.";
    /// A rule leads elsewhere for a while.
    Found = 302, "Found", "What you asked for is at another address for the time being.";
    /// A rule leads to something else that answers.
    SeeOther = 303, "See Other", "The answer is at another address.";
    /// A rule leads elsewhere for a while.
    TemporaryRedirect = 307, "Temporary Redirect", "What you asked for is at another address for the time being.";
    /// A rule leads elsewhere.
    PermanentRedirect = 308, "Permanent Redirect", "What you asked for is at another address.";
    /// The request is not valid HTTP, or its target no valid path.
    BadRequest = 400, "Bad Request", "The server could not understand this request.";
    /// The client has not proved to be somebody who may ask.
    Unauthorized = 401, "Unauthorized", "This is shown only to those whom the server knows.";
    /// The client may not ask, or the server not read.
    Forbidden = 403, "Forbidden", "This is not to be read from here.";
    /// There is no such file.
    NotFound = 404, "Not Found", "There is nothing at this address.";
    /// The method is known, but no file supports it.
    MethodNotAllowed = 405, "Method Not Allowed", "Files can be asked for with GET and HEAD only.";
    /// What is there, or is not, stands against it.
    Conflict = 409, "Conflict", "There is no directory for this, or something else in its place.";
    /// A condition that the request set does not hold.
    PreconditionFailed = 412, "Precondition Failed", "This file is not, or no longer, the version that was asked for.";
    /// The body is longer than is read.
    ContentTooLarge = 413, "Content Too Large", "The request has a longer body than this server reads.";
    /// The request line is too long.
    UriTooLong = 414, "URI Too Long", "The address is longer than this server accepts.";
    /// The content is of a type that nothing can be done with.
    UnsupportedMediaType = 415, "Unsupported Media Type", "Files can be sent with PUT, or with POST as a form's.";
    /// The file has none of the bytes that were asked for.
    RangeNotSatisfiable = 416, "Range Not Satisfiable", "This file is shorter than the part that was asked for.";
    /// The client expects what the server does not know.
    ExpectationFailed = 417, "Expectation Failed", "This server cannot do what the request expects.";
    /// The target is of a server that this one is not.
    MisdirectedRequest = 421, "Misdirected Request", "This server speaks http only, and the address begins with https.";
    /// The head is too large, or has too many fields.
    HeaderFieldsTooLarge = 431, "Request Header Fields Too Large", "The request has more header data than this server accepts.";
    /// The file could not be read.
    InternalServerError = 500, "Internal Server Error", "The server could not read this file.";
    /// The method or the transfer coding is not known.
    NotImplemented = 501, "Not Implemented", "This server does not know what the request asks for.";
    /// The server behind this one did not answer as it should.
    BadGateway = 502, "Bad Gateway", "The server behind this one did not answer. Please try again later.";
    /// Too much is being loaded already.
    ServiceUnavailable = 503, "Service Unavailable", "The server is busy. Please try again in a moment.";
    /// The file system did not answer in time.
    GatewayTimeout = 504, "Gateway Timeout", "The storage behind this server did not answer in time. Please try again later.";
    /// There is no room for what is to be stored.
    InsufficientStorage = 507, "Insufficient Storage", "There is no room left for this.";
    /// The version is neither 1.0 nor 1.1.
    VersionNotSupported = 505, "HTTP Version Not Supported", "This server speaks HTTP/1.1 and HTTP/1.0.";
}

impl Status {
    /// The three-digit code.
    pub fn code(self) -> u16 {
        self as u16
    }
}
