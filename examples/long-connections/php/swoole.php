<?php
// A server of WebSockets with Swoole (SWOOLE_PROCESS) whose clients leave in order before it is stopped: bluegreen_drain_url: /drain.
// Not run by our tests (they have no Swoole). Its master process uses USR1 and USR2 itself, so it cannot be told by a signal.
// In this mode one worker sees the connections of all; in SWOOLE_BASE it has to pass the word on with sendMessage().
use Swoole\Http\Request;
use Swoole\Http\Response;
use Swoole\Timer;
use Swoole\WebSocket\Frame;
use Swoole\WebSocket\Server;

const RESTART = 1012; // the client shall come back

$server = new Server('127.0.0.1', (int) getenv('PORT'), SWOOLE_PROCESS);

$server->on('message', function (Server $server, Frame $frame): void {
    // Write the message down first; what is not acknowledged is sent again.
    $server->push($frame->fd, $frame->data);
});

$server->on('request', function (Request $request, Response $response) use ($server): void {
    if ($request->server['request_uri'] === '/drain') {
        $window = (float) ($request->get['seconds'] ?? 10);
        foreach ($server->connections as $client) {
            if ($server->isEstablished($client)) {
                Timer::after(max(1, (int) (1000 * $window * mt_rand() / mt_getrandmax())), fn () => $server->disconnect($client, RESTART, 'moving to another server'));
            }
        }
        $response->status(202);
    }
    $response->header('X-Release', (string) getenv('BLUEGREEN_RELEASE'));
    $response->end('ok');
});

$server->start();
