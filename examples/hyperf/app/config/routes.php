<?php

declare(strict_types=1);

use App\Controller\HealthController;
use Hyperf\HttpServer\Router\Router;

Router::addRoute(['GET', 'HEAD'], '/health', [HealthController::class, 'index']);
