/* `ctxshim hooks`: the hooked functions as the one list, hooks.def, has them. */
#include "command.h"

#include <stdio.h>
#include <string.h>

static const struct hook {
    const char *symbol;
    const char *family;
    const char *rules; /* of flow, design terms: "F2 E1" */
} hooks[] = {
#define HOOK_ROW(symbol, family, rules) {#symbol, family, rules},
#include "../../hooks/hooks.def"
#undef HOOK_ROW
};

static const char help[] =
    "Usage:\n"
    "  ctxshim hooks [--names]\n"
    "\n"
    "Lists the functions of libc that the shim stands in front of: the name, its family\n"
    "and the rules of flow that it serves.\n"
    "\n"
    "Options:\n"
    "  --names     the names alone, one a line\n"
    "  -h, --help  this text\n";

static void print_names(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(hooks); i++)
        puts(hooks[i].symbol);
}

static void print_table(void) {
    int symbol_width = 0;
    int family_width = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(hooks); i++) {
        symbol_width = MAX(symbol_width, (int)strlen(hooks[i].symbol));
        family_width = MAX(family_width, (int)strlen(hooks[i].family));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(hooks); i++) {
        if (*hooks[i].rules)
            printf("%-*s  %-*s  %s\n", symbol_width, hooks[i].symbol, family_width, hooks[i].family,
                   hooks[i].rules);
        else
            printf("%-*s  %s\n", symbol_width, hooks[i].symbol, hooks[i].family);
    }
}

int command_hooks(int argc, char **argv) {
    if (argc == 1) {
        print_table();
    } else if (argc == 2 && strcmp(argv[1], "--names") == 0) {
        print_names();
    } else if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
    } else {
        command_complain("hooks", "%s is not understood; it takes --names or nothing", argv[argc - 1]);
        return EXIT_REFUSED;
    }
    return command_output_done(0);
}
