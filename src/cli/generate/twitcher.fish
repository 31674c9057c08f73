# Completions of twitcher for fish. The program is asked, with the words of the line as it would get them.
function __twitcher_complete
    # Without its quotes, also where the last one is still missing; one word, if only an empty one.
    set -l token (commandline --tokenize --current-token)
    COMPLETE=fish twitcher -- (commandline --current-process --tokenize --cut-at-cursor) "$token"
end
complete --keep-order --exclusive --command twitcher --arguments "(__twitcher_complete)"
