# A policy in the folder of the users: who may push and who only pull, and a change of it.

section_policy() {
    local url grant
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=http://$NGX_DOORWARD_PUBLISH/v2/
    stack_up policy http && ready "$url" || return
    add_user alice a-secret && add_user bob b-secret
    turns "without a policy alice may push" 5 policy_push alice 202

    printf 'devs: alice\n' >"$copy/access/groups"
    grant='[[grant]]\nwho = "authenticated"\nactions = ["pull"]\n'
    printf "$grant"'[[grant]]\ngroups = ["devs"]\nrepositories = ["team/**"]\nactions = ["push"]\n' >"$copy/access/policy.toml"
    export DOORWARD_POLICY=/etc/doorward/policy.toml DOORWARD_GROUPS=/etc/doorward/groups
    check "the policy is named in .env" compose up -d
    turns "alice may push" 20 policy_push alice 202
    turns "bob may not" 5 policy_push bob 403
    same "bob may pull" "$(status "${url}team/app/tags/list" --user bob:b-secret)" 404
    curl --silent --user bob:b-secret --request POST "${url}team/app/blobs/uploads/" | indent 1

    printf 'devs: alice bob\n' >"$copy/access/groups"
    turns "bob, in the group" 5 policy_push bob 202
    printf "$grant" >"$copy/access/policy.toml"
    turns "alice, without a grant" 5 policy_push alice 403
    printf 'grant\n' >"$copy/access/policy.toml"
    policy_told() { logs doorward | grep -q 'policy file not reloaded'; }
    turns "a policy that can't be read is told" 5 policy_told
    same "and leaves the last good one in force" \
        "$(status "${url}team/app/blobs/uploads/" --user alice:a-secret --request POST)" 403
    policy_keys
    unset DOORWARD_POLICY DOORWARD_GROUPS DOORWARD_API_KEYS
}

policy_keys() { # for who still may push
    local key
    printf "$grant"'[[grant]]\ngroups = ["devs"]\nrepositories = ["team/**"]\nactions = ["push"]\n' >"$copy/access/policy.toml"
    turns "alice may push again" 5 policy_push alice 202
    key=$(compose run --rm keys new --create --owner alice --name ci --scope 'pull:team/**' 2>/dev/null | tr -d '\r')
    export DOORWARD_API_KEYS=/etc/doorward/keys
    check "the keys are named in .env" compose up -d
    turns "a key pulls" 20 answers "${url}team/app/tags/list" 404 --user "alice:$key"
    same "as a bearer too" "$(status "${url}team/app/tags/list" --header "Authorization: Bearer $key")" 404
    same "and does not push, though its owner may" \
        "$(status "${url}team/app/blobs/uploads/" --user "alice:$key" --request POST)" 403
    check "it is revoked" compose run --rm keys revoke ci --owner alice
    turns "and pulls no more" 5 answers "${url}team/app/tags/list" 401 --user "alice:$key"
}

policy_push() { # user status: begins an upload
    answers "${url}team/app/blobs/uploads/" "$2" --user "$1:${1:0:1}-secret" --request POST
}
