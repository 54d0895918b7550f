# Makes ctxshim(3) of ctxshim.h and functions.in: what the header's comments say is what the manual says. For each
# function a page that leads there goes to the directory `links`. `version` is the library's.
#
# Of the header it takes the comment at the top, each declaration with CTXSHIM_API and the comment over it, and the
# comment that begins with CTXSHIM_SCOPE(. In the template a line @DESCRIPTION@, @SYNOPSIS@ or @FUNCTIONS@ stands for
# that part, and @NAMES@ in a line for the names.

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^[.']/, "\\\\\\&&", text)
    return text
}

# Prose: names bold, what each entry says of the two conditions easily found.
function prose(text, result, at) {
    text = escape(text)
    while (match(text, /`[^`]*`/)) {
        result = result substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART + 1, RLENGTH - 2) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    text = result text
    result = ""
    while (match(text, /ctxshim_[a-z_]+/)) {
        result = result substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART, RLENGTH) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    text = result text
    sub(/Without the shim:/, "\\fIWithout the shim:\\fR", text)
    sub(/Signals:/, "\\fISignals:\\fR", text)
    return text
}

# The comment's lines, with code (indented by four) as code.
function render(count, i, line, code, result) {
    for (i = 1; i <= count; i++) {
        line = comment[i]
        if (line ~ /^    /) {
            result = result (code ? "" : ".PP\n.RS 4\n.EX\n")
            code = 1
            result = result escape(substr(line, 5)) "\n"
            continue
        }
        if (code)
            result = result ".EE\n.RE\n.PP\n"
        code = 0
        result = result (line == "" ? ".PP\n" : prose(line) "\n")
    }
    return result (code ? ".EE\n.RE\n" : "")
}

function take_declaration(text, name) {
    sub(/^CTXSHIM_API /, "", text)
    gsub(/[ \t\n]+/, " ", text)
    match(text, /ctxshim_[a-z_]+\(/)
    name = substr(text, RSTART, RLENGTH - 1)
    functions[++function_count] = name
    synopsis = synopsis ".PP\n.BI \"" escape(text) "\"\n"
    entries = entries ".SS " name "\n.nf\n\\fB" escape(text) "\\fR\n.fi\n.PP\n" render(comment_lines)
}

function names(i, result) {
    for (i = 1; i <= function_count; i++)
        result = result (i > 1 ? ", " : "") functions[i]
    return result
}

FNR == 1 {
    file++
}

# --- the header

file == 1 && /^#ifndef CTXSHIM_BUILD/ {
    header_done = 1
}

file == 1 && header_done {
    next
}

file == 1 && /^\/\*/ {
    in_comment = 1
    comment_lines = 0
    sub(/^\/\* ?/, " * ")
}

file == 1 && in_comment {
    line = $0
    ended = sub(/ *\*\/ *$/, "", line)
    sub(/^ \* ?/, "", line)
    comment[++comment_lines] = line
    if (ended) {
        in_comment = 0
        if (description == "")
            description = render(comment_lines)
        else if (comment[1] ~ /^CTXSHIM_SCOPE\(/)
            entries = entries ".SS CTXSHIM_SCOPE\n" render(comment_lines)
    }
    next
}

file == 1 && /^CTXSHIM_API / {
    declaration = ""
    in_declaration = 1
}

file == 1 && in_declaration {
    declaration = declaration " " $0
    sub(/^ /, "", declaration)
    if (/;$/) {
        in_declaration = 0
        take_declaration(declaration)
    }
    next
}

# --- the template

file == 1 {
    next
}

/^@DESCRIPTION@$/ {
    printf "%s", description
    next
}

/^@SYNOPSIS@$/ {
    printf "%s", synopsis
    next
}

/^@FUNCTIONS@$/ {
    printf "%s", entries
    next
}

{
    gsub(/@VERSION@/, version)
    gsub(/@NAMES@/, names())
    print
}

END {
    for (i = 1; i <= function_count; i++) {
        page = links "/" functions[i] ".3"
        print ".so man3/ctxshim.3" >page
        close(page)
    }
}
