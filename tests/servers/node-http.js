// An HTTP server on node's own http module, for the matrix: logs each request, and answers with its marker.
//
//     node node-http.js PORT LOG [timer | cluster | DIRECTORY]
//
// With a directory, the answer is a file that it reads by the thread pool; with `timer`, it answers after 2 milliseconds.
// As a cluster, one process accepts, and sends each connection to one of three others.
'use strict';
const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');

const [port, log, what] = process.argv.slice(2);
const directory = what === 'cluster' || what === 'timer' ? undefined : what;
const journal = fs.openSync(log, 'a');

function answer(response, marker, body) {
    fs.writeSync(journal, `${marker} answered\n`);
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
    response.end(body);
}

function answerRequest(request, response) {
    if (directory === undefined) {
        const marker = request.headers['x-marker'];
        const later = () => answer(response, marker, `answer to ${marker}\n`);
        if (what === 'timer')
            setTimeout(later, 2);
        else
            setImmediate(later);
        return;
    }
    fs.readFile(directory + request.url, (error, body) => {
        if (error !== null) {
            response.writeHead(500, { 'Content-Length': 0 });
            response.end();
            return;
        }
        answer(response, request.url.slice(request.url.lastIndexOf('/') + 1), body);
    });
}

if (what === 'cluster' && cluster.isPrimary)
    for (let i = 0; i < 3; i++)
        cluster.fork();
else
    http.createServer(answerRequest).listen(Number(port), '127.0.0.1');
