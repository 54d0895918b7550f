// An HTTP server on node's own http module, for the matrix: logs each request, and answers with its marker.
//
//     node node-http.js PORT LOG [timer | DIRECTORY]
//
// With a directory, the answer is a file that it reads by the thread pool; with `timer`, it answers after 2 milliseconds.
'use strict';
const fs = require('node:fs');
const http = require('node:http');

const [port, log, directory] = process.argv.slice(2);
const journal = fs.openSync(log, 'a');

function answer(response, marker, body) {
    fs.writeSync(journal, `${marker} answered\n`);
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length });
    response.end(body);
}

http.createServer((request, response) => {
    if (directory === undefined || directory === 'timer') {
        const marker = request.headers['x-marker'];
        const later = () => answer(response, marker, `answer to ${marker}\n`);
        if (directory === undefined)
            setImmediate(later);
        else
            setTimeout(later, 2);
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
}).listen(Number(port), '127.0.0.1');
