# make_tree FOLDER COUNT: a tree of the first COUNT files under 1 MiB, and links, of /usr/share/doc, with
# the owners, modes and times that real trees have. Where documentation is left out of an image the time
# zones', the terminals', perl's and /etc follow; what is still missing is made up. Sourced after lib.sh.
make_tree() {
    mkdir "$1"
    (cd /usr/share && find doc zoneinfo terminfo licenses perl5 perl /etc \
        \( -type f -size -1048576c -o -type l \) -print 2>/dev/null |
        grep -v "$(printf '[\001-\037]')" | head -n "$2") >"$work/tree.list"
    tar -C /usr/share -cf - --hard-dereference -T "$work/tree.list" 2>/dev/null |
        tar -C "$1" -xpf - || die "cannot make a tree"
    number=$(wc -l <"$work/tree.list")
    [ "$number" = "$2" ] || mkdir "$1/more"
    while [ "$number" -lt "$2" ]; do
        number=$((number + 1))
        seq "$number" >"$1/more/f$number"
    done
    (
        cd "$1"
        number=0
        find . -type f | sort | while read -r file; do
            number=$((number + 1))
            case $((number % 12)) in
            0) chmod 600 "$file" ;;
            1) chmod 755 "$file" ;;
            2) chown 1000:1000 "$file" ;;
            3) chown 12345:54321 "$file" && chmod 4751 "$file" ;;
            4) touch -d '1999-12-31 23:59:59.123456789' "$file" ;;
            5) touch -d '2038-02-01 00:00:00.5' "$file" ;;
            6) chmod 400 "$file" ;;
            7) : >"$file" ;;
            esac
        done
        mkdir -p empty/below "a name with spaces" sticky setgid
        chmod 1777 sticky
        chmod 2775 setgid
        echo x >"a name with spaces/and a file"
        ln -s "../no/such place" "a name with spaces/dangling"
        find . -type d | while read -r folder; do
            touch -d '2020-02-02 02:02:02.020202020' "$folder"
        done
    )
    # Beside them stand a file and a link with spaces in their names.
    is $(($2 + 2)) "$(find "$1" ! -type d | wc -l)" "names in the tree"
    figure "tree: $2 names, $(find "$1" -type f | wc -l) files, $(find "$1/doc" ! -type d | wc -l) of them documentation"
}
