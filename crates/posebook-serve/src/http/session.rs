//! `/sign-in` and `/sign-out`: browsers exchange the access token for a cookie, because event streams and videos of a page send
//! no header with a token.

use super::accept::Ends;
use super::{Http, body, pages};
use crate::page;
use crate::problem::Problem;
use crate::service::Service;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use std::sync::Arc;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/sign-in", get(show).post(sign_in)).route("/sign-out", post(sign_out))
}

async fn show() -> Response {
    pages::html(StatusCode::OK, page::sign_in(None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

async fn sign_in(
    State(service): State<Arc<Service>>,
    Extension(http): Extension<Arc<Http>>,
    ends: Option<Extension<Ends>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_form = body::is_form(&headers);
    let token = if is_form {
        let bytes = body::read(&headers, body, &http.limits).await?;
        let found = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == "token");
        found.map(|(_, value)| value.trim().to_owned()).ok_or_else(|| missing(""))?
    } else {
        let bytes = body::json(&headers, body, &http.limits).await?;
        // the parser's message could repeat a part of the token
        let parsed: SignIn = serde_json::from_slice(&bytes).map_err(|_| missing("a JSON object with "))?;
        parsed.token
    };
    let cookie = service.auth.sign_in(token.as_bytes(), ends.map(|ends| ends.peer.ip()))?;
    let cookie = [(header::SET_COOKIE, cookie)];
    Ok(if is_form {
        (StatusCode::SEE_OTHER, [(header::LOCATION, "/")], cookie).into_response()
    } else {
        (StatusCode::NO_CONTENT, cookie).into_response()
    })
}

fn missing(what: &str) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "malformed",
        format!("the body must be {what}the field `token`"),
    )
    .at("/token")
}

async fn sign_out(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let cookie = [(header::SET_COOKIE, service.auth.sign_out(&headers))];
    if body::is_form(&headers) {
        (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")], cookie).into_response()
    } else {
        (StatusCode::NO_CONTENT, cookie).into_response()
    }
}
