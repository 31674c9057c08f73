#compdef twitcher
# Completions of twitcher for zsh. The program is asked, with the words of the line as it would get them.
function _twitcher_complete() {
    # Without their quotes; of the last one, what stands before the cursor, where a quote may still be open.
    local -a asked=("${(@Q)words}")
    asked[CURRENT]=${(Q)PREFIX}
    local -a completions=("${(@f)$( \
        _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) COMPLETE=zsh \
        twitcher -- "${asked[@]}" 2>/dev/null \
    )}")
    local -a dirs=() other=()
    local completion value
    for completion in $completions; do
        value=${completion%%:*}
        if [[ $value != */ ]]; then
            other+=("$completion")
        elif [[ $completion == *:* ]]; then
            dirs+=("${value%/}:${completion#*:}")
        else
            dirs+=("${value%/}")
        fi
    done
    [[ -n $dirs ]] && _describe -V 'values' dirs -S '/' -r '/'
    [[ -n $other ]] && _describe -V 'values' other
}

compdef _twitcher_complete twitcher

# zsh runs the file itself as the function when it is needed first, before what it registers is.
if [ "$funcstack[1]" = "_twitcher" ]; then
    _twitcher_complete "$@"
fi
