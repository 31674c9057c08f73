# Completions of twitcher for bash. The program is asked, with the words of the line as it would get them; what was typed
# stays as it was typed, and what is added to it is quoted as the place needs it, so that any key is one word.

# Takes quotes off a line: sets `words`, and of the last one what there is of it (`word`), the quote that it is in
# (`quote`: ', " or $ for $'), and whether the shell would put something in the place of it (`live`).
_twitcher_split() {
    local line=$1 blank=1 raw= next i c
    word= quote= live= pending=
    for ((i = 0; i < ${#line}; i++)); do
        c=${line:i:1} next=${line:i+1:1}
        case $quote in
        "'") if [[ $c == "'" ]]; then quote=; else word+=$c; fi ;;
        '"')
            case $c in
            '"') quote= ;;
            '\')
                case $next in
                '') pending=1 ;;
                ['$`"\']) word+=$next i=$((i + 1)) ;;
                *) word+=$c ;;
                esac
                ;;
            ['$`!']) live=1 word+=$c ;;
            *) word+=$c ;;
            esac
            ;;
        '$')
            case $c in
            "'") quote= ;;
            '\')
                if [[ -z $next ]]; then
                    pending=1
                else
                    # One escape at a time: an octal or hexadecimal one is longer.
                    raw=$c$next i=$((i + 1))
                    while [[ $raw =~ ^\\(x[[:xdigit:]]?|u[[:xdigit:]]{0,3}|U[[:xdigit:]]{0,7}|[0-7]{1,2})$ ]] &&
                        [[ ${line:i+1:1} == [[:xdigit:]] ]] && [[ $raw == \\[xuU]* || ${line:i+1:1} == [0-7] ]]; do
                        raw+=${line:i+1:1} i=$((i + 1))
                    done
                    printf -v raw '%b.' "$raw"
                    word+=${raw%.}
                fi
                ;;
            *) word+=$c ;;
            esac
            ;;
        *)
            if [[ $c == [[:blank:]] ]]; then
                if [[ -z $blank ]]; then
                    words+=("$word")
                fi
                word= live= blank=1
                continue
            fi
            if [[ $blank && $c == '~' ]]; then
                live=1
            fi
            blank=
            case $c in
            "'" | '"') quote=$c ;;
            '$')
                case $next in
                "'") quote='$' i=$((i + 1)) ;;
                '"') quote='"' i=$((i + 1)) ;;
                *) live=1 word+=$c ;;
                esac
                ;;
            '\') if [[ $next ]]; then word+=$next i=$((i + 1)); else pending=1; fi ;;
            ['`*?[!']) live=1 word+=$c ;;
            *) word+=$c ;;
            esac
            ;;
        esac
    done
}

# Quotes what is added to a word, so that it ends the quote that it is in: sets `quoted`.
_twitcher_quote() {
    local rest=$1 part i c
    quoted=
    if [[ -z $quote ]]; then
        if [[ $rest ]]; then
            printf -v quoted %q "$rest"
        fi
        return
    fi
    for ((i = 0; i < ${#rest}; i++)); do
        c=${rest:i:1}
        case $quote$c in
        "''") quoted+="'\\''" ;;
        '"!') quoted+="\"'!'\"" ;;
        '""' | '"\' | '"$' | '"`' | "\$'" | '$\') quoted+="\\$c" ;;
        ?[[:cntrl:]])
            printf -v part %q "$c"
            if [[ $quote == '$' ]]; then
                part=${part#??} quoted+=${part%?}
            else
                quoted+=$quote$part$quote
            fi
            ;;
        *) quoted+=$c ;;
        esac
    done
    if [[ $quote == '$' ]]; then quoted+="'"; else quoted+=$quote; fi
}

_twitcher() {
    local words=() candidates=() word quote live pending typed count quoted candidate common before=$2
    local tail=${COMP_LINE:COMP_POINT}
    _twitcher_split "${COMP_LINE:0:COMP_POINT}"
    typed=$word count=${#words[@]}
    COMPREPLY=()
    if [[ $live ]]; then
        return
    fi
    if [[ $pending ]]; then
        before=${before%\\}
    fi
    words+=("$typed")
    if [[ -z $quote ]]; then
        # What stands behind the word may say which store is meant.
        _twitcher_split "${tail#"${tail%%[[:blank:]]*}"} "
        quote=
    fi
    # Assignments may stand before the command.
    while [[ ${words[0]} == [A-Za-z_]*=* && $count -gt 0 ]]; do
        words=("${words[@]:1}") count=$((count - 1))
    done
    while IFS= read -r -d $'\013' candidate || [[ $candidate ]]; do
        if [[ ${candidate:0:${#typed}} == "$typed" ]]; then
            candidates+=("$candidate")
        fi
        candidate=
    done < <(COMPLETE=bash _CLAP_IFS=$'\013' _CLAP_COMPLETE_INDEX=$count twitcher -- "${words[@]}" 2>/dev/null)
    if [[ ${#candidates[@]} == 0 ]]; then
        return
    fi
    common=${candidates[0]}
    for candidate in "${candidates[@]}"; do
        while [[ ${candidate:0:${#common}} != "$common" ]]; do
            common=${common%?}
        done
    done
    if [[ ${#candidates[@]} == 1 || ${#common} -gt ${#typed} ]]; then
        _twitcher_quote "${common:${#typed}}"
        COMPREPLY=("$before$quoted")
        if [[ ${#candidates[@]} -gt 1 || $common == *[=/:] ]]; then
            compopt -o nospace 2>/dev/null
        fi
        return
    fi
    for candidate in "${candidates[@]}"; do
        quoted=${candidate:${#typed}}
        # One after the other is put on the line; else they are only shown, and have nothing more in common.
        if [[ $COMP_TYPE == 37 || $COMP_TYPE == 42 ]]; then
            _twitcher_quote "$quoted"
        fi
        COMPREPLY+=("$before$quoted")
    done
}

if [[ ${BASH_VERSINFO[0]} -eq 4 && ${BASH_VERSINFO[1]} -ge 4 || ${BASH_VERSINFO[0]} -gt 4 ]]; then
    complete -o bashdefault -o nosort -F _twitcher twitcher
else
    complete -o bashdefault -F _twitcher twitcher
fi
