// logs.bicep: makes Azure write the logs that maas-monitor reads. Deploy it to the resource group of the gateway or the
// account; what is left empty is left alone. No prompt and no completion is logged.
//
//   az deployment group create --resource-group GROUP --template-file logs.bicep --parameters \
//     apiManagementName=GATEWAY apiNames='["mistral"]' workspaceId=RESOURCE_ID_OF_THE_LOG_ANALYTICS_WORKSPACE
//   az deployment group create --resource-group GROUP --template-file logs.bicep --parameters \
//     accountName=FOUNDRY_ACCOUNT storageAccountId=RESOURCE_ID_OF_THE_STORAGE_ACCOUNT
//
// What reads them, in monitor.toml:
//
//# [[source]]
//# name = "gateway"
//# kind = "log-analytics"
//# workspace_id = "00000000-0000-0000-0000-000000000000"   # the workspace's customerId
//#
//# [[source]]
//# name = "foundry"
//# kind = "blobs"
//# path = "https://ACCOUNT.blob.core.windows.net/insights-logs-requestresponse/resourceId=/SUBSCRIPTIONS/*/RESOURCEGROUPS/*/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/{workspace}/y={year}/m={month}/d={day}/h={hour}/m=*/PT1H.json"
//# format = "azure-diagnostics"

targetScope = 'resourceGroup'

@description('API Management service in this resource group that stands before the models.')
param apiManagementName string = ''

@description('Its APIs that lead to models: token counts are logged for these.')
param apiNames array = []

@description('Resource id of the Log Analytics workspace that the gateway logs to.')
param workspaceId string = ''

@description('Foundry (Cognitive Services) account in this resource group.')
param accountName string = ''

@description('Resource id of the storage account that the account logs to.')
param storageAccountId string = ''

resource gateway 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: empty(apiManagementName) ? 'none' : apiManagementName
}

// Token counts are logged only of APIs that say so. Requests and responses are left out: naming them here would log
// prompts and completions.
resource tokens 'Microsoft.ApiManagement/service/apis/diagnostics@2024-06-01-preview' = [
  for api in apiNames: {
    name: '${apiManagementName}/${api}/azuremonitor'
    properties: {
      loggerId: '${gateway.id}/loggers/azuremonitor'
      alwaysLog: 'allErrors'
      sampling: {
        samplingType: 'fixed'
        percentage: 100
      }
      frontend: {
        request: { headers: [], body: { bytes: 0 } }
        response: { headers: [], body: { bytes: 0 } }
      }
      backend: {
        request: { headers: [], body: { bytes: 0 } }
        response: { headers: [], body: { bytes: 0 } }
      }
      largeLanguageModel: {
        logs: 'enabled'
      }
    }
  }
]

// GatewayLlmLogs is in no category group: it has to be named. Dedicated: tables of their own, not AzureDiagnostics.
resource gatewayLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(apiManagementName)) {
  name: 'maas-monitor'
  scope: gateway
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      { category: 'GatewayLlmLogs', enabled: true }
      { category: 'GatewayLogs', enabled: true }
    ]
  }
}

resource account 'Microsoft.CognitiveServices/accounts@2024-10-01' existing = {
  name: empty(accountName) ? 'none' : accountName
}

resource accountLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(accountName)) {
  name: 'maas-monitor'
  scope: account
  properties: {
    storageAccountId: storageAccountId
    logs: [
      { category: 'RequestResponse', enabled: true }
    ]
  }
}
