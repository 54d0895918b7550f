/* Unmodified programs behave under the shim as without it, and the preloaded object is what it claims to be.
 *
 * Strategy: pair.h. To be run from the root of the tree. */
#include "pair.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void expect_same(const char *script, const char *must_say) {
    pair_expect_same(script, must_say, (const char *[]){"", "dispatch=exact", NULL});
}

TestSuite(programs, .timeout = 310);

Test(programs, redis) {
    expect_same(
        "start redis-server --port 0 --unixsocket $PWD/s --save '' --appendonly no --daemonize no >log 2>&1 "
        "&\n"
        "server=$!; for i in $(seq 100); do [ -S s ] && break; sleep 0.05; done\n"
        "for i in $(seq 20); do ctx redis-cli -s s set key$i value$i; ctx redis-cli -s s get key$i; done\n"
        "printf 'INCR n\\nINCR n\\nLPUSH l a b c\\nLRANGE l 0 -1\\nbad\\nSUBSCRIBE\\n' | ctx redis-cli -s "
        "s\n"
        "ctx redis-benchmark -s s -q -n 2000 -c 20 -t set,get >/dev/null 2>&1; echo bench $?\n"
        "ctx redis-cli -s s shutdown nosave; wait $server; echo server $?; ls\n",
        "value20");
}

Test(programs, curl) {
    expect_same(
        "head -c 3000000 /dev/zero | tr '\\0' x >big; seq 100000 >>big; P=$(port)\n"
        "start python3 -m http.server --bind 127.0.0.1 $P >/dev/null 2>&1 & server=$!\n"
        "for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:$P/ && break; sleep 0.05; done\n"
        "ctx curl -s http://127.0.0.1:$P/big -o got; echo $?; cmp big got && echo the same\n"
        "ctx curl -s -f http://127.0.0.1:$P/missing; echo $?\n"
        "ctx curl -s -o /dev/null -w '%{http_code} %{size_download}\\n' http://127.0.0.1:$P/big\n"
        "kill $server; wait $server; echo server $?; ctx curl -s http://127.0.0.1:$P/; echo $?\n",
        "the same");
}

/* Pipes and socketpairs across fork, descriptors inside messages, datagrams. */
Test(programs, python_multiprocessing) {
    expect_same(
        "cat >mp.py <<'END'\n"
        "import multiprocessing as mp, multiprocessing.reduction as red, os, socket, subprocess, threading\n"
        "def work(n):\n"
        "    return n * n\n"
        "def child(conn, pair):\n"
        "    conn.send(('hello', os.getpid() != 0)); print(conn.recv(), flush=True)\n"
        "    fd = red.recv_handle(conn); os.write(fd, b'through a descriptor'); os.close(fd)\n"
        "if __name__ == '__main__':\n"
        "    for method in 'fork', 'spawn', 'forkserver':\n"
        "        ctx = mp.get_context(method)\n"
        "        with ctx.Pool(4) as pool: print(method, sum(pool.map(work, range(1000))))\n"
        "        ours, theirs = ctx.Pipe()\n"
        "        p = ctx.Process(target=child, args=(theirs, None)); p.start()\n"
        "        print(ours.recv()); ours.send('to you')\n"
        "        r, w = os.pipe(); red.send_handle(ours, w, p.pid); os.close(w)\n"
        "        print(os.read(r, 100)); p.join(); print(p.exitcode); os.close(r)\n"
        "    print(subprocess.run('cat; head -c 3 /dev/zero | od', shell=True, input=b'x' * 200000, "
        "capture_output=True).stdout[-40:])\n"
        "    a, b = socket.socketpair(); socket.send_fds(a, [b'fd'], [0, 1]); m, fds, f, _ = "
        "socket.recv_fds(b, 10, 5); print(m, len(fds))\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0))\n"
        "    c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.sendto(b'x' * 3000, s.getsockname())\n"
        "    d, addr = s.recvfrom(10); print(d, addr == c.getsockname() or addr[1] == c.getsockname()[1]); "
        "s.sendto(b'', addr); print(c.recvfrom(9)[0])\n"
        "END\n"
        "ctx python3 mp.py; echo $?\n",
        "through a descriptor");
}

Test(programs, python_asyncio) {
    expect_same(
        "cat >echo.py <<'END'\n"
        "import asyncio, subprocess, sys\n"
        "async def serve(reader, writer):\n"
        "    while data := await reader.readline():\n"
        "        await asyncio.sleep(0)\n"
        "        writer.write(data.upper())\n"
        "        await writer.drain()\n"
        "    writer.close()\n"
        "async def client(port, n):\n"
        "    reader, writer = await asyncio.open_connection('127.0.0.1', port)\n"
        "    got = []\n"
        "    for i in range(20):\n"
        "        writer.write(f'client {n} line {i}\\n'.encode())\n"
        "        got.append((await asyncio.wait_for(reader.readline(), 10)).decode())\n"
        "    writer.close()\n"
        "    return got\n"
        "async def main():\n"
        "    server = await asyncio.start_server(serve, '127.0.0.1', 0)\n"
        "    port = server.sockets[0].getsockname()[1]\n"
        "    for got in await asyncio.gather(*(client(port, n) for n in range(30))):\n"
        "        sys.stdout.writelines(got)\n"
        "    child = await asyncio.create_subprocess_exec('echo', 'child', stdout=asyncio.subprocess.PIPE)\n"
        "    print(await child.communicate(), child.returncode)\n"
        "    loop = asyncio.get_running_loop()\n"
        "    print(await loop.run_in_executor(None, lambda: subprocess.run(['sh', '-c', 'exit "
        "3']).returncode))\n"
        "    server.close()\n"
        "asyncio.run(main())\n"
        "END\n"
        "ctx python3 echo.py; echo $?\n",
        "CLIENT 29 LINE 19");
}

Test(programs, gcc) {
    expect_same("printf '#include <stdio.h>\\nint main(void) { printf(\"hello\\\\n\"); return 7; }\\n' >a.c\n"
                "gcc -O2 -g -c a.c -o expected.o\n"
                "ctx gcc -O2 -g -c a.c -o a.o; echo $?; cmp expected.o a.o && echo the same object\n"
                "ctx gcc a.o -o a && ctx ./a; echo $?; ctx gcc -c missing.c; echo $?\n"
                "echo 'int x = ;' >b.c; ctx gcc -c b.c; echo $?; ls\n",
                "the same object");
}

Test(programs, git) {
    expect_same(
        "export GIT_AUTHOR_DATE=2000-01-01T00:00:00Z GIT_COMMITTER_DATE=2000-01-01T00:00:00Z "
        "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b "
        "GIT_COMMITTER_NAME=a "
        "GIT_COMMITTER_EMAIL=a@b\n"
        "ctx git init -q -b main one; cd one; seq 10000 >file; ctx git add file; ctx git commit -qm "
        "first\n"
        "seq 5000 >file; echo new >other; ctx git status; ctx git diff --stat; ctx git stash -q; cd ..\n"
        "ctx git clone -q one two; echo $?; ctx git clone -q file://$PWD/one three; echo $?\n"
        "cmp one/file three/file && echo cloned; ctx git -C three log --format=%H; ctx git -C two fsck; "
        "echo $?\n"
        "ctx git -C two grep -c 99; ctx git clone missing four; echo $?\n",
        "cloned");
}

/* Over a daemon of git's own, and over files that any server serves; then pushed to, through a shell command.
 */
Test(programs, git_protocols) {
    expect_same(
        "export GIT_AUTHOR_DATE=2000-01-01T00:00:00Z GIT_COMMITTER_DATE=2000-01-01T00:00:00Z "
        "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b\n"
        "git init -q -b main one; for i in $(seq 30); do seq $((i * 500)) >one/$i; git -C one add .; "
        "git -C one commit -qm $i; done; git -C one repack -qad; git -C one update-server-info\n"
        "P=$(port); start $(git --exec-path)/git-daemon --reuseaddr --listen=127.0.0.1 --port=$P "
        "--base-path=$PWD --export-all "
        "--enable=receive-pack $PWD 2>/dev/null & daemon=$!\n"
        "H=$(port); start python3 -m http.server --bind 127.0.0.1 $H >/dev/null 2>&1 & http=$!\n"
        "for i in $(seq 200); do git ls-remote git://127.0.0.1:$P/one >/dev/null 2>&1 && curl -s -o "
        "/dev/null "
        "http://127.0.0.1:$H/ && break; sleep 0.05; done\n"
        "ctx git clone -q git://127.0.0.1:$P/one two; echo $?; ctx git clone -q http://127.0.0.1:$H/one/.git "
        "three; echo $?; ctx git clone -q --depth 3 git://127.0.0.1:$P/one four; echo $?\n"
        "git init -q --bare five; ctx git -C two push -q git://127.0.0.1:$P/five main 2>&1; echo $?\n"
        "ctx git clone -q -u 'ctx() { \"$@\"; }; git-upload-pack' one six; echo $?\n"
        "for r in two three four five; do ctx git -C $r fsck; ctx git -C $r rev-parse HEAD; ctx git -C $r "
        "rev-list --count HEAD; done; cat two/* three/* | md5sum\n"
        "kill $daemon $http; wait $http; echo $?; wait $daemon; echo $?\n",
        "30");
}

Test(programs, perl) {
    expect_same("ctx perl $TREE/tests/transparency/work.pl; echo $?\n", "got CLIENT 29 ROUND 20");
}

Test(programs, bash) {
    expect_same(
        "cat >script <<'END'\n"
        "set -m\n"
        "seq 1000 | sort -rn | head -3; echo \"${PIPESTATUS[@]}\"\n"
        "yes | head -2; echo \"${PIPESTATUS[@]}\"\n"
        "sleep 0.2 & sleep 0.1 & jobs -r | wc -l; wait; echo waited $?\n"
        "(exit 5) & wait $!; echo $?; (kill -TERM $BASHPID) & wait $!; echo $?\n"
        "sleep 10 & kill -STOP %1; sleep 0.1; jobs %1 | grep -c Stopped; kill -KILL %1; wait %1; echo $?\n"
        "exec 7>file; echo to seven >&7; exec 7>&-; cat file; echo x >&7; echo $?\n"
        "diff <(seq 3) <(seq 4); coproc cat; echo co >&${COPROC[1]}; read -r line <&${COPROC[0]}; echo "
        "$line\n"
        "trap 'echo trapped' USR1; kill -USR1 $$; echo $(ulimit -n >/dev/null && echo sub); cat <<<here\n"
        "exit 42\n"
        "END\n"
        "ctx bash script 2>&1 | sed 's/[0-9]\\{4,\\}/N/g'; echo ${PIPESTATUS[0]}\n",
        "trapped");
}

Test(programs, node) {
    expect_same("cat >http.js <<'END'\n"
                "const http = require('http'), fs = require('fs'), { execFile } = require('child_process');\n"
                "const server = http.createServer((q, a) => setTimeout(() => fs.readFile(__filename, () => "
                "a.end('you asked ' + q.url)), 1));\n"
                "const agent = new http.Agent({ keepAlive: true, maxSockets: 5 });\n"
                "const get = (i) => new Promise((ok, no) => http.get({ host: '127.0.0.1', port: "
                "server.address().port, path: "
                "'/' + i, agent }, (a) => {\n"
                "  let text = ''; a.on('data', (d) => (text += d)); a.on('end', () => ok(a.statusCode + ' ' "
                "+ text)); }).on('error', no));\n"
                "server.listen(0, '127.0.0.1', async () => {\n"
                "  console.log((await Promise.all([...Array(50).keys()].map(get))).join('\\n'));\n"
                "  execFile('sh', ['-c', 'echo child; exit 3'], (e, out) => { console.log(e.code, out); "
                "agent.destroy(); server.close(); process.exitCode = 4; });\n"
                "});\n"
                "END\n"
                "ctx node http.js; echo $?\n",
                "you asked /49");
}

/* --- loops of others: what their programs count on survives the default way of serving them (E0) ------ */

TestSuite(loops, .timeout = 310);

static void expect_same_loop(const char *library, const char *must_say) {
    const char *ways[] = {"", "roots=0",
                          "annotate=*.log:leaks=1:stacks=1:log_path=${dir:-/nonexistent}/report", NULL};
    char *script = g_strdup_printf(
        "export TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n"
        "loop=$TREE/" BUILD "/tests/loops/%s; ctx $loop; echo $?; unset TRACEPARENT; ctx $loop\n",
        library);
    pair_expect_same(script, must_say, ways);
    g_free(script);
}

Test(loops, libevent) {
    expect_same_loop("libevent", "woken 1\ndone");
}

Test(loops, sd_event) {
    expect_same_loop("sd", "over: 9");
}

Test(loops, libuv) {
    expect_same_loop("uv", "heard one two three");
}

Test(loops, libev) {
    expect_same_loop("ev", "woken\ndone");
}

Test(loops, glib) {
    expect_same_loop("glib", "called 20\ndone");
}

/* --- suites that nobody here wrote: the quick half of `make transparency` -------------------------- */

Test(suites, the_quick_half_is_the_same, .timeout = 500) {
    struct outcome outcome = pair_run(
        "cd $TREE; timeout 400 tests/transparency/suites.py --quick --library " BUILD "/libctxshim.so 2>&1",
        NULL);
    cr_expect(outcome.status == 0 && strstr(outcome.out, ", 0 different") != NULL, "%s%s", outcome.out,
              outcome.err);
    pair_free(&outcome);
}

/* --- the preloaded object ------------------------------------------------------------------------- */

/* The lines that a command writes; it must succeed. */
static char **lines_of(const char *command) {
    char *out = NULL, *err = NULL;
    int status = -1;
    const char *arguments[] = {"timeout", "280", "sh", "-c", command, NULL};
    cr_assert(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
                           &status, NULL));
    cr_assert(status == 0, "%s: status %d: %s", command, status, err);
    return g_strsplit(g_strchomp(out), "\n", -1);
}

static void expect_same_lines(const char *first, const char *second) {
    char *a = g_strjoinv("\n", lines_of(first)), *b = g_strjoinv("\n", lines_of(second));
    cr_expect_str_eq(a, b, "%s\n%s\n\n%s\n%s", first, a, second, b);
    cr_expect_gt(strlen(a), 0);
}

TestSuite(object, .timeout = 120);

/* `nm` writes the API's symbols with their version. */
Test(object, exports_its_hooks_its_api_and_nothing_else) {
    expect_same_lines("nm -D --defined-only " BUILD
                      "/libctxshim.so | awk '{print $3}' | sed -E 's/@@?GLIBC.*//' | grep -v ^GLIBC | "
                      "LC_ALL=C sort -u",
                      "{ " BUILD "/ctxshim hooks --names; echo CTXSHIM_1.0; echo CTXSHIM_OTEL; "
                      "echo otel_thread_ctx_v1@CTXSHIM_OTEL; grep -o '\\bctxshim_[a-z_]* *(' "
                      "shim/ctxshim.h | tr -d ' (' |"
                      " grep -vE '^ctxshim_header_|^ctxshim_scope' | sort -u | sed 's/$/@@CTXSHIM_1.0/'; } "
                      "| LC_ALL=C sort -u");
}

/* H7: where libc has several functions of one name, ours stands in front of its default one, under each of
 * its versions; all others are unversioned. */
Test(object, hooks_have_a_version_where_libc_has_an_older_kind) {
    expect_same_lines(
        "{ nm -D --defined-only " BUILD
        "/libctxshim.so | awk '{print $3}' | grep -v -i ctxshim | grep '.@'; echo -; } | LC_ALL=C "
        "sort",
        "libc=$(LD_LIBRARY_PATH= ldd " BUILD "/ctxshim | awk '$1 == \"libc.so.6\" {print $3}');"
        " { " BUILD "/ctxshim hooks --names; nm -D --defined-only \"$libc\"; } | awk '"
        "NF == 1 { ours[$1] = 1; next }"
        "{ name = $3; sub(/@.*/, \"\", name); if (!(name in ours)) next;"
        "  at[$3] = $1; if ($3 ~ /@@/) best[name] = $1;"
        "  if (!((name, $1) in seen)) kinds[name]++; seen[name, $1] = 1 }"
        "END { for (symbol in at) { name = symbol; sub(/@.*/, \"\", name);"
        "  if (kinds[name] > 1 && at[symbol] == best[name]) print symbol } print \"-\" }' |"
        " LC_ALL=C sort");
}

Test(object, needs_libc_alone) {
    expect_same_lines("readelf -dW " BUILD "/libctxshim.so | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\]/\\1/p'",
                      "echo libc.so.6");
}

/* H8: a sanitizer's runtime stands in front of libc's functions of strings, and is not ready when we begin.
 */
Test(object, uses_no_string_function_but_its_own) {
    expect_same_lines("nm -D --undefined-only " BUILD "/libctxshim.so | awk '{print $2}' | sed 's/@.*//' |"
                      " grep -E '^(mem|str|wmem|wcs)' | sort",
                      "printf 'strerror_r\nwcsrtombs\n'");
}

Test(object, keeps_its_thread_local_storage_small) {
    char **size = lines_of("readelf -lW " BUILD "/libctxshim.so | awk '$1 == \"TLS\" {print $6}'");
    unsigned long bytes = strtoul(size[0], NULL, 16);
    cr_expect(bytes > 0 && bytes < 256, "%lu bytes", bytes);
}

Test(object, is_loaded_first_and_for_good) {
    expect_same_lines("readelf -dW " BUILD
                      "/libctxshim.so | grep -oE 'INITFIRST|NODELETE|BIND_NOW' | sort -u",
                      "printf 'BIND_NOW\\nINITFIRST\\nNODELETE\\n'");
    expect_same_lines("readelf -dW " BUILD "/libctxshim.so | grep -c TEXTREL || true", "echo 0");
}

/* --- hooks.def: a mistake must not build ---------------------------------------------------------- */

/* A copy of what the object is made of and by, changed by `change`, and built; the build's status goes to
 * stdout, what it said to the file `said`. */
static void expect_build(const char *change, bool builds) {
    char *command = g_strdup_printf("dir=$(mktemp -d) && trap 'rm -rf \"$dir\"' EXIT && cp -r Makefile "
                                    "ctxstore shim hooks scripts \"$dir\" && cd \"$dir\" && %s &&"
                                    " { make -s -j2 BUILD=b b/libctxshim.so >said 2>&1 && echo builds || "
                                    "echo does not build; cat said | tail -5 >&2; }",
                                    change);
    char **said = lines_of(command);
    cr_expect_str_eq(said[0], builds ? "builds" : "does not build", "%s", change);
    g_free(command);
    g_strfreev(said);
}

Test(hooks_def, an_unchanged_copy_builds) {
    expect_build("true", true);
}

Test(hooks_def, a_row_without_a_body_does_not_link) {
    expect_build("echo 'HOOK_ROW(getpid, \"fork\", \"F13\")' >>hooks/hooks.def", false);
}

Test(hooks_def, a_body_without_a_row_does_not_compile) {
    expect_build("printf '\\nHOOK(pid_t, getpid, (void))\\n{ return 0; }\\n' >>hooks/fork.c", false);
}

Test(hooks_def, a_row_with_its_body_builds) {
    expect_build("echo 'HOOK_ROW(getpid, \"fork\", \"F13\")' >>hooks/hooks.def &&"
                 " printf '\\nHOOK(pid_t, getpid, (void))\\n{ return REAL(getpid)(); }\\n' >>hooks/fork.c",
                 true);
}

Test(hooks_def, a_wrong_signature_does_not_compile) {
    expect_build("sed -i 's/HOOK(int, listen, (int fd, int backlog))/HOOK(int, listen, (int fd, long "
                 "backlog))/' hooks/socket.c &&"
                 " grep -q 'long backlog' hooks/socket.c",
                 false);
}

Test(hooks_def, a_name_that_libc_does_not_have_does_not_compile) {
    expect_build("echo 'HOOK_ROW(no_such_function, \"fork\", \"F13\")' >>hooks/hooks.def", false);
}
