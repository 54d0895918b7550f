/* Escaping: see escape.h. */
#include "escape.h"

#include <glib.h>

char *escape_text(const char *text) {
    GString *result = g_string_new(NULL);
    char *valid = g_utf8_make_valid(text, -1);
    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar character = g_utf8_get_char(at);
        if (g_unichar_isprint(character))
            g_string_append_unichar(result, character);
        else
            g_string_append_printf(result, "\\u%04x", character);
    }
    g_free(valid);
    return g_string_free(result, FALSE);
}
