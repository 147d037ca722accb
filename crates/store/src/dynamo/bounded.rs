//! Bounds the requests that are open at the service, and so the connections to it: the client opens one for each.

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

/// `client` with at most `most` open requests. Further ones wait, within their timeouts.
pub(super) fn bounded(client: SharedHttpClient, most: usize) -> SharedHttpClient {
    SharedHttpClient::new(Bounded { client, places: Arc::new(Semaphore::new(most)) })
}

#[derive(Debug)]
struct Bounded {
    client: SharedHttpClient,
    places: Arc<Semaphore>,
}

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(BoundedConnector { connector, places: self.places.clone() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct BoundedConnector {
    connector: SharedHttpConnector,
    places: Arc<Semaphore>,
}

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, places) = (self.connector.clone(), self.places.clone());
        HttpConnectorFuture::new(async move {
            let place = places.acquire_owned().await;
            let place = place.map_err(|error| ConnectorError::other(error.into(), None))?;
            let mut response = connector.call(request).await?;
            // The connection is in use until the body was read. The rest of the response lasts as long as an error of it,
            // which retries keep while they pause.
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(body.map_frame(move |frame| {
                let _place = &place;
                frame
            }));
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use futures::poll;

    use super::*;

    /// A service that answers as often as `answers` allows.
    #[derive(Debug)]
    struct Service {
        begun: Arc<AtomicUsize>,
        answers: Arc<Semaphore>,
    }

    impl HttpConnector for Service {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let answers = self.answers.clone();
            HttpConnectorFuture::new(async move {
                answers.acquire().await.unwrap().forget();
                Ok(HttpResponse::new(400.try_into().unwrap(), SdkBody::from("a conflict")))
            })
        }
    }

    #[tokio::test]
    async fn further_requests_wait_until_an_answer_was_read() {
        let (begun, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let service = Service { begun: begun.clone(), answers: answers.clone() };
        let places = Arc::new(Semaphore::new(2));
        let connector = BoundedConnector { connector: SharedHttpConnector::new(service), places };
        let mut calls: Vec<_> = (0..4).map(|_| Box::pin(connector.call(HttpRequest::empty()))).collect();
        for call in &mut calls {
            assert!(poll!(call).is_pending());
        }
        let begun = || begun.load(Ordering::SeqCst);
        assert_eq!(begun(), 2);
        answers.add_permits(1);
        let mut answer = calls.remove(0).await.unwrap();
        assert!(poll!(&mut calls[1]).is_pending());
        assert_eq!(begun(), 2, "the answer was not read yet");
        // As the client does; the rest of the response is part of its error.
        let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a conflict");
        assert!(poll!(&mut calls[1]).is_pending());
        assert_eq!(begun(), 3);
        drop(answer);
        // One whose caller has given up makes room, too.
        drop(calls.remove(0));
        assert!(poll!(&mut calls[1]).is_pending());
        assert_eq!(begun(), 4);
    }
}
