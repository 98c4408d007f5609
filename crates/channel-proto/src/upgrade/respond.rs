//! Whole HTTP answers of a server, as bytes.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::status::Status;

/// The type of a refusal's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentType {
    /// `text/plain; charset=utf-8`
    Text,
    /// `application/json`
    Json,
}

/// A refusal with this status code and body, to be written and then the connection closed.
#[must_use]
pub fn refuse(status: StatusCode, content_type: ContentType, body: impl Into<Bytes>) -> Bytes {
    respond(response(status, content_type, body.into()))
}

/// A refusal with a `metav1.Status` as its body, as the API server writes it. Its status code is the Status' `code`, or 500
/// where that is absent or no error.
#[must_use]
pub fn refuse_with(status: &Status) -> Bytes {
    respond(status_response(status))
}

/// An answer as bytes, of any status but 1xx. `Content-Length` and `Connection: close` are written here, whatever the
/// response says: one connection carries one request.
#[must_use]
pub fn respond(response: Response<Bytes>) -> Bytes {
    let (head, body) = response.into_parts();
    let reason = head.status.canonical_reason().unwrap_or("Unknown");
    let mut out = BytesMut::from(format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).as_bytes());
    let ours = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    // `http` guarantees that neither names nor values can end a line.
    for (name, value) in head.headers.iter().filter(|(name, _)| !ours.contains(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    // RFC 9110 §8.6, §15.4.5: these two have no body, and a 204 no length either.
    let has_body = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    if has_body {
        out.extend_from_slice(&body);
    }
    out.freeze()
}

pub(super) fn text_response(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    response(status, ContentType::Text, text.into())
}

pub(super) fn status_response(status: &Status) -> Response<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinded<'a> {
        kind: &'static str,
        api_version: &'static str,
        #[serde(flatten)]
        status: &'a Status,
    }
    let kinded = Kinded { kind: "Status", api_version: "v1", status };
    // Strings and numbers always serialize; were it otherwise, a refusal without a reason is still a refusal.
    let mut body = serde_json::to_vec(&kinded).unwrap_or_default();
    body.push(b'\n');
    let code = status.code.and_then(|code| StatusCode::from_u16(code).ok());
    let code = code.filter(|code| code.is_client_error() || code.is_server_error());
    let mut response =
        response(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), ContentType::Json, body.into());
    let no_cache = HeaderValue::from_static("no-cache, private");
    response.headers_mut().insert(header::CACHE_CONTROL, no_cache);
    response
}

fn response(status: StatusCode, content_type: ContentType, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if !response.body().is_empty() {
        let value = match content_type {
            ContentType::Text => "text/plain; charset=utf-8",
            ContentType::Json => "application/json",
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    }
    response
}
