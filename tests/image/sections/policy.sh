# A policy and API keys in the folder of the users, and changes of both.

section_policy() {
    local url grant
    free_port
    export NGX_DOORWARD_PUBLISH=127.0.0.1:$port
    url=http://$NGX_DOORWARD_PUBLISH/v2/
    stack_up policy http && ready "$url" || return
    add_user alice a-secret && add_user bob b-secret
    turns "without a policy alice can push" 5 policy_push alice 202

    printf 'devs: alice\n' >"$copy/access/groups"
    grant='[[grant]]\nwho = "authenticated"\nactions = ["pull"]\n'
    printf "$grant"'[[grant]]\ngroups = ["devs"]\nrepositories = ["team/**"]\nactions = ["push"]\n' >"$copy/access/policy.toml"
    export DOORWARD_POLICY=/etc/doorward/policy.toml DOORWARD_GROUPS=/etc/doorward/groups
    check "the policy is set in .env" compose up -d
    turns "alice can push" 20 policy_push alice 202
    turns "bob cannot push" 5 policy_push bob 403
    same "bob can pull" "$(status "${url}team/app/tags/list" --user bob:b-secret)" 404
    curl --silent --user bob:b-secret --request POST "${url}team/app/blobs/uploads/" | indent 1

    printf 'devs: alice bob\n' >"$copy/access/groups"
    turns "bob is in the group and can push" 5 policy_push bob 202
    printf "$grant" >"$copy/access/policy.toml"
    turns "alice has no grant and cannot push" 5 policy_push alice 403
    printf 'grant\n' >"$copy/access/policy.toml"
    policy_logged() { logs doorward | grep -q 'policy.*not reloaded'; }
    turns "an invalid policy is logged" 5 policy_logged
    same "the last valid policy stays in force" \
        "$(status "${url}team/app/blobs/uploads/" --user alice:a-secret --request POST)" 403
    policy_keys
    unset DOORWARD_POLICY DOORWARD_GROUPS DOORWARD_API_KEYS
}

policy_keys() { # API keys of a user who can push
    local key
    printf "$grant"'[[grant]]\ngroups = ["devs"]\nrepositories = ["team/**"]\nactions = ["push"]\n' >"$copy/access/policy.toml"
    turns "alice can push again" 5 policy_push alice 202
    key=$(compose run --rm api-keys new --create --owner alice --name ci --scope 'pull:team/**' 2>/dev/null | tr -d '\r')
    export DOORWARD_API_KEYS=/etc/doorward/api-keys
    check "the API keys are set in .env" compose up -d
    turns "a key can pull" 20 answers "${url}team/app/tags/list" 404 --user "alice:$key"
    same "a key as a bearer can pull" "$(status "${url}team/app/tags/list" --header "Authorization: Bearer $key")" 404
    same "a key without the scope cannot push, although its owner can" \
        "$(status "${url}team/app/blobs/uploads/" --user "alice:$key" --request POST)" 403
    check "the key is revoked" compose run --rm api-keys revoke ci --owner alice
    turns "a revoked key cannot pull" 5 answers "${url}team/app/tags/list" 401 --user "alice:$key"
}

policy_push() { # user status: begins an upload
    answers "${url}team/app/blobs/uploads/" "$2" --user "$1:${1:0:1}-secret" --request POST
}
