<?php
// A server of WebSockets with Workerman whose clients leave in order before it is stopped: bluegreen_drain_url: /drain.
// Not run by our tests (they have no Workerman). Its master process uses USR1 and USR2 itself, so it cannot be told by a signal.
// A request reaches one worker, so it leaves a note (DRAIN) that all of them look at each second.
require __DIR__ . '/vendor/autoload.php';

use Workerman\Connection\TcpConnection;
use Workerman\Protocols\Http\Response;
use Workerman\Timer;
use Workerman\Worker;

const RESTART = "\x03\xf4moving to another server"; // 1012: the client shall come back
const DRAIN = __DIR__ . '/runtime/drain'; // in the slot's own copy of the release

@unlink(DRAIN);
$port = (int) getenv('PORT');
$window = (float) (getenv('BLUEGREEN_DRAIN_WINDOW') ?: 10);

$chat = new Worker("websocket://127.0.0.1:$port"); // it answers plain requests, the health check's among them, in onMessage of a worker of their own port
$chat->count = 4;
$chat->onWorkerStart = function (Worker $worker) use ($window): void {
    $told = false;
    Timer::add(1, function () use ($worker, $window, &$told): void {
        clearstatcache();
        if ($told || !file_exists(DRAIN)) {
            return;
        }
        $told = true;
        foreach ($worker->connections as $connection) {
            Timer::add(max(0.001, $window * mt_rand() / mt_getrandmax()), fn () => $connection->close(RESTART), [], false);
        }
    });
};
$chat->onMessage = function (TcpConnection $connection, string $message): void {
    // Write the message down first; what is not acknowledged is sent again.
    $connection->send($message);
};

$http = new Worker('http://127.0.0.1:' . getenv('PORT_HTTP')); // bluegreen_health_port: http
$http->onMessage = function (TcpConnection $connection, $request): void {
    if ($request->path() === '/drain') {
        touch(DRAIN);
    }
    $connection->send(new Response(200, ['X-Release' => (string) getenv('BLUEGREEN_RELEASE')], 'ok'));
};

Worker::runAll();
