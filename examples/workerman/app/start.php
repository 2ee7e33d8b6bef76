<?php

// A chat over WebSocket with Workerman 4 or 5, and HTTP beside it on a port of its own. Not run by our tests (they have no Workerman):
// its syntax is checked, and the release of it is planned. What it says of the stop was measured (docs/runtimes.md).
// A request reaches one worker, so /drain leaves a note that all of them look at each second. bluegreen_drain_url: /drain.
declare(strict_types=1);

require __DIR__ . '/vendor/autoload.php';

use Workerman\Connection\TcpConnection;
use Workerman\Protocols\Http\Request;
use Workerman\Protocols\Http\Response;
use Workerman\Timer;
use Workerman\Worker;

const RESTART = "\x03\xf4moving to another server"; // 1012: the client shall come back
const RUNTIME = __DIR__ . '/runtime'; // the slot's own copy of the release has one, so nothing here is shared by two masters
const DRAIN = RUNTIME . '/drain';

is_dir(RUNTIME) || mkdir(RUNTIME);
foreach ([DRAIN, RUNTIME . '/workerman.pid'] as $left) { // a pid file that a killed master left says "already running", with exit status 0
    file_exists($left) && unlink($left);
}
Worker::$pidFile = RUNTIME . '/workerman.pid';
Worker::$logFile = RUNTIME . '/workerman.log';
Worker::$stopTimeout = 10; // seconds that a request may take at the stop; Workerman's own default is 2

$address = getenv('BLUEGREEN_ADDRESS') ?: '127.0.0.1';
$release = ['X-Release' => basename(__DIR__)]; // the directory's name is the release: it shows which code answers
$window = (float) (getenv('BLUEGREEN_DRAIN_WINDOW') ?: 10);

$chat = new Worker("websocket://$address:" . getenv('PORT_WS'));
$chat->count = 2;
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

$http = new Worker("http://$address:" . getenv('PORT_HTTP'));
$http->count = 2;
$http->onMessage = function (TcpConnection $connection, Request $request) use ($release): void {
    switch ($request->path()) {
        case '/drain':
            $known = hash_equals(getenv('DRAIN_TOKEN') ?: random_bytes(16), (string) $request->header('x-drain-token'));
            if ($known) {
                touch(DRAIN);
            }
            $connection->send(new Response($known ? 202 : 403, $release));
            break;
        case '/slow': // three seconds: ask it during a release. Work that waits by a timer is cut at the stop, whatever stopTimeout says
            sleep(3);
            $connection->send(new Response(200, $release, 'done'));
            break;
        case '/health': // the messages can be kept
            $well = is_writable(RUNTIME);
            $connection->send(new Response($well ? 200 : 503, $release, $well ? 'ok' : RUNTIME . ' is not writable'));
            break;
        default:
            $connection->send(new Response(200, $release, 'the chat is at the WebSocket port'));
    }
};

Worker::runAll();
