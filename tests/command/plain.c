/* A program that does nothing, to be linked in the ways that the loader ignores. */
int main(void) {
    return 0;
}
