use parlance_proto::server::chat_service_server::ChatService;
use parlance_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Peer;

/// Only `Chat`.
pub(super) struct Service(pub(super) mpsc::Sender<Peer>);

macro_rules! unimplemented_calls {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        #[async_trait]
        impl ChatService for Service {
            type ChatStream = ReceiverStream<Result<v1::ServerFrame, Status>>;
            type SubscribeStream = ReceiverStream<Result<v1::ServerFrame, Status>>;

            async fn chat(
                &self,
                request: Request<Streaming<v1::ClientFrame>>,
            ) -> Result<Response<Self::ChatStream>, Status> {
                if request.metadata().get("authorization").unwrap() != "Bearer token" {
                    return Err(Status::unauthenticated("no token"));
                }
                let (peer, frames, outbound) = Peer::new();
                self.0.send(peer).await.unwrap_or_else(|_| panic!("the test is over"));
                let mut inbound = request.into_inner();
                tokio::spawn(async move {
                    while let Ok(Some(frame)) = inbound.message().await {
                        if frames.send(frame).await.is_err() {
                            break;
                        }
                    }
                });
                Ok(Response::new(ReceiverStream::new(outbound)))
            }

            async fn subscribe(
                &self,
                _: Request<v1::SubscribeRequest>,
            ) -> Result<Response<Self::SubscribeStream>, Status> {
                Err(Status::unimplemented(""))
            }

            $(
                async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                    Err(Status::unimplemented(""))
                }
            )*
        }
    };
}

unimplemented_calls! {
    send_message: SendMessageRequest -> SendMessageResponse,
    get_message: GetMessageRequest -> GetMessageResponse,
    list_messages: ListMessagesRequest -> ListMessagesResponse,
    list_events: ListEventsRequest -> ListEventsResponse,
    edit_message: EditMessageRequest -> EditMessageResponse,
    delete_message: DeleteMessageRequest -> DeleteMessageResponse,
    add_reaction: AddReactionRequest -> AddReactionResponse,
    remove_reaction: RemoveReactionRequest -> RemoveReactionResponse,
    send_typing: SendTypingRequest -> SendTypingResponse,
    report_message: ReportMessageRequest -> ReportMessageResponse,
}
