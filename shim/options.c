/* Options: defaults, parser and help, all from options.def. Uses neither malloc nor the environment. */
#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct options options;

enum option_type { OPTION_FLAG, OPTION_CHOICE, OPTION_NUMBER, OPTION_TEXT, OPTION_LIST };

static const struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *preset;
    const char *words; /* of a number: the most */
    const char *help;
} table[] = {
#define FLAG(name, default, help) {#name, OPTION_FLAG, offsetof(struct options, name), #default, "0|1", help},
#define CHOICE(name, default, words, help)                                                                   \
    {#name, OPTION_CHOICE, offsetof(struct options, name), #default, words, help},
#define NUMBER(name, default, most, help)                                                                    \
    {#name, OPTION_NUMBER, offsetof(struct options, name), #default, #most, help},
#define TEXT(name, help) {#name, OPTION_TEXT, offsetof(struct options, name), "", "", help},
#define LIST(name, help) {#name, OPTION_LIST, offsetof(struct options, name), "", "", help},
#include "options.def"
#undef FLAG
#undef CHOICE
#undef NUMBER
#undef TEXT
#undef LIST
};

enum { OPTIONS = sizeof table / sizeof *table, TOKEN_ROOM = OPTION_LIST_ROOM };

/* The index of `value` among words separated by '|', or -1. */
static int word_index(const char *words, const char *value) {
    size_t length = strlen(value);
    int index = 0;
    for (const char *word = words; *word != '\0'; index++) {
        size_t size = strcspn(word, "|");
        if (size == length && memcmp(word, value, size) == 0)
            return index;
        word += size + (word[size] == '|');
    }
    return -1;
}

static bool list_add(char *list, const char *value) {
    size_t used = strlen(list), length = strlen(value);
    if (used + 1 + length + 1 > OPTION_LIST_ROOM)
        return false;
    if (used > 0)
        list[used++] = ',';
    memcpy(list + used, value, length + 1);
    return true;
}

/* A whole number of decimal digits, or -1. */
static long number_of(const char *text) {
    long number = 0;
    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > 100000000)
            return -1;
        number = number * 10 + (*text - '0');
    }
    return number;
}

static bool number_set(const struct option *option, void *place, const char *value) {
    long number = number_of(value);
    bool fits = number >= 0 && number <= number_of(option->words);
    if (fits)
        *(int *)place = (int)number;
    return fits;
}

static bool text_set(char *text, const char *value) {
    size_t length = strlen(value);
    if (length >= OPTION_TEXT_ROOM)
        return false;
    memcpy(text, value, length + 1);
    return true;
}

static bool option_set(const struct option *option, const char *value) {
    char *place = (char *)&options + option->offset;
    if (option->type == OPTION_LIST)
        return list_add(place, value);
    if (option->type == OPTION_NUMBER)
        return number_set(option, place, value);
    if (option->type == OPTION_TEXT)
        return text_set(place, value);
    int index = word_index(option->words, value);
    if (index >= 0)
        memcpy(place, &index, sizeof index);
    return index >= 0;
}

static const struct option *option_find(const char *name) {
    for (const struct option *option = table; option < table + OPTIONS; option++)
        if (strcmp(option->name, name) == 0)
            return option;
    return NULL;
}

static bool is_separator(char c) {
    return c != '\0' && strchr(": ,\t\r\n", c) != NULL;
}

/* Copies characters up to `stop` or a separator into `token`; quotes protect. What is too long is cut, and
 * `*whole` false. */
static const char *token_read(const char *text, char stop, char token[TOKEN_ROOM], bool *whole) {
    size_t length = 0;
    char quote = '\0';
    for (; *text != '\0' && (quote != '\0' || (*text != stop && !is_separator(*text))); text++) {
        if (*text == quote)
            quote = '\0';
        else if (quote == '\0' && (*text == '"' || *text == '\''))
            quote = *text;
        else if (length < TOKEN_ROOM - 1)
            token[length++] = *text;
        else
            *whole = false;
    }
    token[length] = '\0';
    return text;
}

void options_read(const char *text, void (*warn)(const char *what, const char *of)) {
    char key[TOKEN_ROOM], value[TOKEN_ROOM];
    memset(&options, 0, sizeof options);
    for (const struct option *option = table; option < table + OPTIONS; option++)
        if (option->type != OPTION_LIST && option->type != OPTION_TEXT)
            option_set(option, option->preset);
    if (text == NULL)
        return;
    while (true) {
        while (is_separator(*text))
            text++;
        if (*text == '\0')
            return;
        bool whole = true;
        text = token_read(text, '=', key, &whole);
        value[0] = '\0';
        if (*text == '=')
            text = token_read(text + 1, '\0', value, &whole);
        const struct option *option = option_find(key);
        if (option == NULL)
            warn(key, NULL);
        else if (!whole || !option_set(option, value))
            warn(value, key);
    }
}

static const char *values_of(const struct option *option) {
    switch (option->type) {
    case OPTION_NUMBER:
        return "N";
    case OPTION_TEXT:
        return "TEXT";
    case OPTION_LIST:
        return "\"a,b,...\"";
    default:
        return option->words;
    }
}

void options_help(void (*line)(const char *name, const char *values, const char *help)) {
    for (const struct option *option = table; option < table + OPTIONS; option++)
        line(option->name, values_of(option), option->help);
}
