//! The service of `examples/grpc` as a server in Rust has it (crates `tonic` and `tonic-web`), and its messages, written by hand:
//! a test holds them against the `.proto` file.

use prost::{Enumeration, Message};
use prost_types::{Any, Timestamp};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};
use tower::service_fn;

#[derive(Clone, PartialEq, Message)]
pub struct GetOrderRequest {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(string, tag = "2")]
    pub customer: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListOrdersRequest {
    #[prost(enumeration = "OrderStatus", repeated, tag = "1")]
    pub status: Vec<i32>,
    #[prost(message, optional, tag = "2")]
    pub created: Option<Range>,
    #[prost(int32, tag = "3")]
    pub page_size: i32,
    #[prost(string, tag = "4")]
    pub label: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Range {
    #[prost(message, optional, tag = "1")]
    pub from: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ListOrdersResponse {
    #[prost(message, repeated, tag = "1")]
    pub orders: Vec<Order>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateOrderRequest {
    #[prost(message, optional, tag = "1")]
    pub order: Option<Order>,
    #[prost(bool, tag = "2")]
    pub dry_run: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct CancelOrderRequest {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(string, tag = "2")]
    pub reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct CountOrdersRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct CountOrdersResponse {
    #[prost(uint64, tag = "1")]
    pub count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ImportOrdersResponse {
    #[prost(int32, tag = "1")]
    pub taken: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum OrderStatus {
    Unspecified = 0,
    Open = 1,
    Sent = 2,
}

#[derive(Clone, PartialEq, Message)]
pub struct Order {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(string, tag = "2")]
    pub customer: String,
    #[prost(enumeration = "OrderStatus", tag = "3")]
    pub status: i32,
    #[prost(message, repeated, tag = "4")]
    pub items: Vec<Item>,
    #[prost(message, optional, tag = "5")]
    pub created_at: Option<Timestamp>,
    #[prost(map = "string, string", tag = "6")]
    pub labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Item {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct OrderEvent {
    #[prost(message, optional, tag = "1")]
    pub order: Option<Order>,
    #[prost(string, tag = "2")]
    pub what: String,
}

/// The service, running: it does what `shop.mjs` does, and stops when it is dropped.
pub struct Shop {
    /// Where it speaks gRPC-Web over HTTP/1.1, and gRPC over HTTP/2.
    pub web: SocketAddr,
    /// Where it speaks gRPC alone.
    pub native: SocketAddr,
    state: State,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    /// Starts it.
    pub fn start() -> Self {
        let state = State::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, addresses) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let state = state.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async move {
                    let (web, native) = (listen().await, listen().await);
                    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
                    ready.send((address(&web), address(&native))).expect("somebody waits");
                    let both = Server::builder().accept_http1(true).layer(tonic_web::GrpcWebLayer::new());
                    let both = both.serve_with_incoming(Orders(state.clone()), TcpListenerStream::new(web));
                    let alone = Server::builder().serve_with_incoming(Orders(state), TcpListenerStream::new(native));
                    tokio::select! {
                        ended = both => ended.expect("it serves"),
                        ended = alone => ended.expect("it serves"),
                        _ = stopped => {}
                    }
                });
            }
        });
        let (web, native) = addresses.recv().expect("it starts");
        Self { web, native, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Has it produce one more event.
    pub fn next(&self) {
        self.state.passes.add_permits(1);
    }

    /// How many messages of client streams have come.
    pub fn taken(&self) -> usize {
        self.state.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

#[derive(Clone)]
struct State {
    passes: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
}

impl Default for State {
    fn default() -> Self {
        Self { passes: Arc::new(Semaphore::new(0)), taken: Arc::default() }
    }
}

type Events = ReceiverStream<Result<OrderEvent, Status>>;

impl State {
    async fn get(self, request: Request<GetOrderRequest>) -> Result<Response<Order>, Status> {
        let text = |name: &str| {
            let value = request.metadata().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (tenant, deadline) = (text("x-tenant-id"), !text("grpc-timeout").is_empty());
        let GetOrderRequest { id, customer } = request.into_inner();
        match id {
            404 => return Err(no_order()),
            422 => {
                let mut details = ErrorDetails::with_bad_request_violation("id", "it is no number of an order");
                details.set_retry_info(Some(std::time::Duration::from_secs(3)));
                return Err(Status::with_error_details(Code::InvalidArgument, "what is that?", details));
            }
            504 => std::future::pending().await,
            _ => {}
        }
        let labels = [("tenant", tenant), ("protocol", "grpc".to_owned()), ("deadline", deadline.to_string())];
        let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
        let customer = if customer.is_empty() { "eve".to_owned() } else { customer };
        let mut response =
            Response::new(Order { id, customer, status: OrderStatus::Open.into(), labels, ..Order::default() });
        response.metadata_mut().insert("x-total-count", "5".parse().expect("ASCII"));
        response.metadata_mut().insert("x-served-by", "shop".parse().expect("ASCII"));
        Ok(response)
    }

    async fn list(self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let ListOrdersRequest { status, page_size, .. } = request.into_inner();
        let order = |status| Order { id: page_size.into(), customer: "eve".to_owned(), status, ..Order::default() };
        Ok(Response::new(ListOrdersResponse { orders: status.into_iter().map(order).collect() }))
    }

    async fn create(self, request: Request<CreateOrderRequest>) -> Result<Response<Order>, Status> {
        Ok(Response::new(request.into_inner().order.unwrap_or_default()))
    }

    async fn cancel(self, request: Request<CancelOrderRequest>) -> Result<Response<Order>, Status> {
        let CancelOrderRequest { id, reason } = request.into_inner();
        let labels = HashMap::from([("reason".to_owned(), reason)]);
        Ok(Response::new(Order { id, customer: "eve".to_owned(), labels, ..Order::default() }))
    }

    async fn count(self, _: Request<CountOrdersRequest>) -> Result<Response<CountOrdersResponse>, Status> {
        Ok(Response::new(CountOrdersResponse { count: u64::MAX }))
    }

    async fn watch(self, request: Request<GetOrderRequest>) -> Result<Response<Events>, Status> {
        let id = request.into_inner().id;
        let (events, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let event = |what: &str| Ok(OrderEvent { order: None, what: what.to_owned() });
            if id == 100_000 {
                for number in 0..100_000 {
                    let order = Some(Order { id, customer: "eve".to_owned(), status: 1, ..Order::default() });
                    let event = OrderEvent { order, what: format!("event {number}") };
                    if events.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
                return;
            }
            let _ = events.send(event("first")).await;
            if let Ok(pass) = self.passes.acquire().await {
                pass.forget();
            }
            let _ = events.send(event("second")).await;
            if id == 9 {
                let _ = events.send(Err(Status::aborted("too late"))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn import(self, request: Request<Streaming<Order>>) -> Result<Response<ImportOrdersResponse>, Status> {
        let mut orders = request.into_inner();
        let mut taken = 0;
        while let Some(order) = orders.next().await {
            order?;
            taken += 1;
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Response::new(ImportOrdersResponse { taken }))
    }

    async fn track(self, request: Request<Streaming<GetOrderRequest>>) -> Result<Response<Events>, Status> {
        let mut orders = request.into_inner();
        let (events, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(GetOrderRequest { id, .. })) = orders.next().await {
                self.taken.fetch_add(1, Ordering::Relaxed);
                let event = if id == 404 {
                    Err(no_order())
                } else {
                    Ok(OrderEvent { order: None, what: format!("order {id}") })
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A failure that has an item as its detail.
fn no_order() -> Status {
    let item = Item { name: "pen".to_owned(), count: 2 };
    let detail = Any { type_url: "type.googleapis.com/shop.v1.Item".to_owned(), value: item.encode_to_vec() };
    let message = "there is no order 404: \u{1F937}".to_owned();
    let status = tonic_types::Status { code: Code::NotFound.into(), message: message.clone(), details: vec![detail] };
    Status::with_details(Code::NotFound, message, status.encode_to_vec().into())
}

/// What `tonic-build` would write.
#[derive(Clone)]
struct Orders(State);

impl Service<http::Request<Body>> for Orders {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let state = self.0.clone();
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            Ok(match path.strip_prefix("/shop.v1.Shop/").unwrap_or_default() {
                "GetOrder" => {
                    Grpc::new(ProstCodec::default()).unary(service_fn(|it| state.clone().get(it)), request).await
                }
                "ListOrders" => {
                    Grpc::new(ProstCodec::default()).unary(service_fn(|it| state.clone().list(it)), request).await
                }
                "CreateOrder" => {
                    Grpc::new(ProstCodec::default()).unary(service_fn(|it| state.clone().create(it)), request).await
                }
                "CancelOrder" => {
                    Grpc::new(ProstCodec::default()).unary(service_fn(|it| state.clone().cancel(it)), request).await
                }
                "CountOrders" => {
                    Grpc::new(ProstCodec::default()).unary(service_fn(|it| state.clone().count(it)), request).await
                }
                "WatchOrder" => {
                    let watch = service_fn(|it| state.clone().watch(it));
                    Grpc::new(ProstCodec::default()).server_streaming(watch, request).await
                }
                "ImportOrders" => {
                    let import = service_fn(|it| state.clone().import(it));
                    Grpc::new(ProstCodec::default()).client_streaming(import, request).await
                }
                "TrackOrders" => {
                    let track = service_fn(|it| state.clone().track(it));
                    Grpc::new(ProstCodec::default()).streaming(track, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}
