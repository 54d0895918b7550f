/* Command lines of verbs: see verb.h. */
#include "verb.h"

#include "command.h"

#include <stdio.h>

static GOptionContext *context_of(const struct verb *verb, gboolean *help) {
    const GOptionEntry own[] = {{"help", 'h', 0, G_OPTION_ARG_NONE, help, "print this", NULL},
                                G_OPTION_ENTRY_NULL};
    GOptionContext *context = g_option_context_new(verb->subjects);
    GOptionGroup *group = g_option_group_new(verb->name, "Options:", "Options", verb->data, NULL);
    if (verb->entries != NULL)
        g_option_group_add_entries(group, verb->entries);
    g_option_group_add_entries(group, own);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_summary(context, verb->summary);
    g_option_context_set_description(context, verb->description);
    return context;
}

gboolean verb_parse(const struct verb *verb, int *argc, char **argv, int *status) {
    gboolean help = FALSE;
    GError *error = NULL;
    GOptionContext *context = context_of(verb, &help);
    gboolean understood = g_option_context_parse(context, argc, &argv, &error);
    char *text = g_option_context_get_help(context, TRUE, NULL);
    g_option_context_free(context);
    *status = EXIT_REFUSED;
    if (!understood)
        command_complain(verb->name, "%s", error->message);
    else if (help)
        *status = command_output_done(fputs(text, stdout) < 0 ? EXIT_OUTPUT : 0);
    else if (*argc < 2 || *argc > verb->most + 1)
        command_complain(verb->name, "%s; \"ctxshim %s --help\" says more", verb->wants, verb->name);
    gboolean goes_on = understood && !help && *argc >= 2 && *argc <= verb->most + 1;
    g_clear_error(&error);
    g_free(text);
    return goes_on;
}
