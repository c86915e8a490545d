//! The history as routes: searched as JSON, or exported.

use std::sync::{Arc, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::history::{Entry, Search, csv};
use super::hub::Hub;
use super::routes::typed;

fn find(hub: &Hub, query: Option<String>) -> Result<Vec<Entry>, String> {
    let search = Search::parse(&query.unwrap_or_default())?;
    Ok(hub.history.lock().unwrap_or_else(PoisonError::into_inner).find(&search))
}

fn refusal(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}

/// `GET /api/history?label=cat&from=1795651200&limit=50`
pub async fn json(State(hub): State<Arc<Hub>>, RawQuery(query): RawQuery) -> Response {
    match find(&hub, query).map(|found| serde_json::to_string(&found)) {
        Ok(Ok(json)) => typed("application/json", json),
        Ok(Err(e)) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
        Err(why) => refusal(&why),
    }
}

/// The same as a table to download.
pub async fn table(State(hub): State<Arc<Hub>>, RawQuery(query): RawQuery) -> Response {
    match find(&hub, query) {
        Ok(found) => {
            let mut answer = typed("text/csv; charset=utf-8", csv(&found));
            let name = HeaderValue::from_static("attachment; filename=\"labels.csv\"");
            answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            answer
        }
        Err(why) => refusal(&why),
    }
}
