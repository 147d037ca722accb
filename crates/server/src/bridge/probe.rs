use std::convert::Infallible;
use std::pin::pin;

use http::{Request, Response};
use parlance_proto::server::chat_service_server::SERVICE_NAME;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{BoxError, service_fn};

use super::choice::Standing;
use super::limits::{PROBE_EVERY, PROBE_LATE};
use super::link::{Answer, Link, Sent, address};

/// Asks the node at the other end whether it accepts new sessions.
///
/// # Errors
/// The node did not answer, or the connection broke.
pub(crate) async fn probe(link: &Link) -> Result<Standing, Status> {
    let service = service_fn(|request| send(link.clone(), request));
    let question = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    match HealthClient::new(service).check(question).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(Standing::Ready),
        Ok(_) => Ok(Standing::NotReady),
        // It has just started, and has not reported yet.
        Err(status) if status.code() == Code::NotFound => Ok(Standing::NotReady),
        Err(status) => Err(status),
    }
}

/// Probes `link` repeatedly, and records the results.
pub(crate) async fn keep_probing(link: &Link, record: impl Fn(Standing)) -> Infallible {
    loop {
        sleep(PROBE_EVERY).await;
        let mut answer = pin!(probe(link));
        let found = match timeout(PROBE_LATE, &mut answer).await {
            Ok(found) => found,
            Err(_) => {
                record(Standing::Late);
                answer.await
            }
        };
        // After an error the connection ends, or an answer follows.
        record(found.unwrap_or(Standing::Late));
    }
}

async fn send(link: Link, mut request: Request<Body>) -> Result<Response<Answer>, BoxError> {
    address(&mut request, link.address)?;
    match link.send(request).await {
        Sent::Answered(response) => Ok(response),
        Sent::Unsent(_) => Err("the connection takes no further streams".into()),
        Sent::Lost(error) => Err(error.into()),
    }
}
